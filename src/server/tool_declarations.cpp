#include "server/tool_declarations.h"

#include <algorithm>
#include <utility>
#include <vector>

#include <fmt/format.h>

namespace baltoro::server {
namespace {

constexpr std::size_t kMaxNameBytes = 128;
constexpr std::string_view kNameCharacters =
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./";

// The model writes a name between markers and "functions.NAME:IDX" has to be taken apart again.
std::string tool_name(const Field& field) {
    const std::string& name = field.string();
    if (name.empty() || name.size() > kMaxNameBytes ||
        name.find_first_not_of(kNameCharacters) != name.npos)
        field.refuse(fmt::format("must be 1 to {} letters, digits and _ - . /", kMaxNameBytes));
    return name;
}

}  // namespace

ApiRequest::Calls calls_of_mode(const Field& mode) {
    using Calls = ApiRequest::Calls;
    const std::string& name = mode.string();
    if (name == "none") return Calls::none;
    if (name == "auto") return Calls::automatic;
    if (name == "required" || name == "any") return Calls::required;
    mode.refuse("must be none, auto or required");
}

void ToolDeclarations::add(const Fields& function, std::string_view parameters_key) {
    Json shown;
    DeclaredTool tool;
    tool.name = tool_name(function.require("name"));
    shown["name"] = tool.name;
    if (const std::string* description = function.string("description"))
        shown["description"] = *description;
    if (const auto parameters = function.object(parameters_key)) {
        shown["parameters"] = parameters->json();
        tool.parameters_json = json_text(parameters->json());
    }
    if (function.boolean("strict").value_or(false)) request_.strict_tools.push_back(tool.name);
    shown_.push_back({{"type", "function"}, {"function", std::move(shown)}});
    request_.request.format.tools.push_back(std::move(tool));
}

std::string ToolDeclarations::declared_name(const Field& name) const {
    const std::vector<DeclaredTool>& tools = request_.request.format.tools;
    const bool is_declared = std::any_of(tools.begin(), tools.end(), [&](const DeclaredTool& tool) {
        return tool.name == name.string();
    });
    if (!is_declared) name.refuse("is not one of the tools");
    return name.string();
}

void ToolDeclarations::finish() {
    if (!shown_.empty()) request_.tools_json = json_text(shown_);
}

void ToolDeclarations::allow_only(const std::vector<std::string>& names, const Field& list) {
    if (names.empty()) list.refuse("must have at least 1 function");
    std::vector<DeclaredTool>& tools = request_.request.format.tools;
    std::erase_if(tools, [&](const DeclaredTool& tool) {
        return std::find(names.begin(), names.end(), tool.name) == names.end();
    });
    if (request_.calls == ApiRequest::Calls::required && tools.size() == 1)
        request_.forced_tool = tools[0].name;
}

void ToolDeclarations::check_choice(std::string_view choice_key) {
    if (shown_.empty()) {
        if (request_.calls == ApiRequest::Calls::required)
            refuse(std::string(choice_key),
                   fmt::format("{} needs tools to choose from", choice_key));
        request_.calls = ApiRequest::Calls::none;
    }
    request_.request.format.drops_calls = request_.calls == ApiRequest::Calls::none;
}

}  // namespace baltoro::server
