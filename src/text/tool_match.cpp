#include "text/tool_match.h"

#include <algorithm>
#include <utility>

#include <nlohmann/json.hpp>

namespace baltoro {
namespace {

using nlohmann::json;

// The text's object; discarded if it is none.
json parse_object(std::string_view text) {
    json value = json::parse(text, nullptr, false);
    return value.is_object() ? value : json(json::value_t::discarded);
}

// In ascending order, as nlohmann::json keeps them.
std::vector<std::string> keys_of(const json& object) {
    std::vector<std::string> keys;
    if (!object.is_object()) return keys;
    for (const auto& item : object.items())
        keys.push_back(item.key());
    return keys;
}

std::vector<std::string> required_of(const json& schema) {
    std::vector<std::string> required;
    const auto list = schema.find("required");
    if (list == schema.end() || !list->is_array()) return required;
    for (const json& key : *list)
        if (key.is_string()) required.push_back(key.get<std::string>());
    std::sort(required.begin(), required.end());
    required.erase(std::unique(required.begin(), required.end()), required.end());
    return required;
}

bool allows_more_keys(const json& schema) {
    const auto more = schema.find("additionalProperties");
    return more != schema.end() && (*more == true || more->is_object());
}

}  // namespace

ToolMatch::ToolMatch(const std::vector<DeclaredTool>& tools) {
    for (const DeclaredTool& declared : tools) {
        Tool tool{.name = declared.name, .properties = {}, .required = {}};
        const json schema = parse_object(declared.parameters_json);
        if (schema.is_object()) {
            const auto properties = schema.find("properties");
            if (properties != schema.end()) tool.properties = keys_of(*properties);
            tool.required = required_of(schema);
            tool.accepts_undeclared = allows_more_keys(schema);
        }
        tools_.push_back(std::move(tool));
    }
}

std::string_view ToolMatch::only_tool_for(std::string_view arguments) const {
    const json object = parse_object(arguments);
    if (!object.is_object()) return {};
    const std::vector<std::string> keys = keys_of(object);
    std::string_view found;
    for (const Tool& tool : tools_) {
        if (!accepts(tool, keys)) continue;
        if (!found.empty() && found != tool.name) return {};
        found = tool.name;
    }
    return found;
}

bool ToolMatch::accepts(const Tool& tool, const std::vector<std::string>& keys) {
    if (!std::includes(keys.begin(), keys.end(), tool.required.begin(), tool.required.end()))
        return false;
    return tool.accepts_undeclared ||
           std::includes(tool.properties.begin(), tool.properties.end(), keys.begin(), keys.end());
}

}  // namespace baltoro
