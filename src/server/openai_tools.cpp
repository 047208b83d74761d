#include "server/openai_tools.h"

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>

namespace baltoro::server {
namespace {

constexpr std::size_t kMaxTools = 1024;
constexpr std::size_t kMaxNameBytes = 128;
constexpr std::string_view kNameCharacters =
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./";

using Calls = ApiRequest::Calls;

// The model writes a name between markers and "functions.NAME:IDX" has to be taken apart again.
std::string tool_name(const Field& field) {
    const std::string& name = field.string();
    if (name.empty() || name.size() > kMaxNameBytes ||
        name.find_first_not_of(kNameCharacters) != name.npos)
        field.refuse(fmt::format("must be 1 to {} letters, digits and _ - . /", kMaxNameBytes));
    return name;
}

bool is_function(const Fields& tool) {
    const std::string* type = tool.string("type");
    return type == nullptr ? tool.find("function").has_value() : *type == "function";
}

void add_tool(const Fields& function, ApiRequest& request, Json& tools) {
    Json shown;
    DeclaredTool tool;
    tool.name = tool_name(function.require("name"));
    shown["name"] = tool.name;
    if (const std::string* description = function.string("description"))
        shown["description"] = *description;
    if (const auto parameters = function.object("parameters")) {
        shown["parameters"] = parameters->json();
        tool.parameters_json = json_text(parameters->json());
    }
    (void)function.boolean("strict");  // arguments follow the schema in any case
    tools.push_back({{"type", "function"}, {"function", std::move(shown)}});
    request.request.format.tools.push_back(std::move(tool));
}

bool is_declared(const std::vector<DeclaredTool>& tools, const std::string& name) {
    return std::any_of(tools.begin(), tools.end(),
                       [&](const DeclaredTool& tool) { return tool.name == name; });
}

// The name that a choice gives, of a tool that was declared.
std::string chosen_name(const Fields& choice, const std::vector<DeclaredTool>& tools) {
    const Field name = choice.require("function").object().require("name");
    if (!is_declared(tools, name.string())) name.refuse("is not one of the tools");
    return name.string();
}

Calls calls_of_mode(const Field& mode) {
    const std::string& name = mode.string();
    if (name == "none") return Calls::none;
    if (name == "auto") return Calls::automatic;
    if (name == "required" || name == "any") return Calls::required;
    mode.refuse("must be none, auto or required");
}

// The tools stay in the prompt, whose cached prefix this choice exists to keep; only what may be
// called gets smaller.
void read_allowed_tools(const Fields& choice, ApiRequest& request) {
    const Fields allowed = choice.require("allowed_tools").object();
    request.calls = calls_of_mode(allowed.require("mode"));
    const Field list = allowed.require("tools");
    std::vector<DeclaredTool>& tools = request.request.format.tools;
    std::vector<std::string> names;
    for (const Field& tool : list.array(kMaxTools))
        names.push_back(chosen_name(tool.object(), tools));
    if (names.empty()) list.refuse("must have at least 1 item");
    std::erase_if(tools, [&](const DeclaredTool& tool) {
        return std::find(names.begin(), names.end(), tool.name) == names.end();
    });
    if (request.calls == Calls::required && tools.size() == 1) request.forced_tool = tools[0].name;
}

void read_tool_choice(const Field& choice, ApiRequest& request) {
    if (choice.is_string()) {
        request.calls = calls_of_mode(choice);
        return;
    }
    if (!choice.is_object()) choice.refuse("must be a string or an object");
    const Fields fields = choice.object();
    const Field type = fields.require("type");
    if (type.string() == "function") {
        request.forced_tool = chosen_name(fields, request.request.format.tools);
        request.calls = Calls::required;
    } else if (type.string() == "allowed_tools") {
        read_allowed_tools(fields, request);
    } else {
        type.refuse("must be function or allowed_tools");
    }
}

}  // namespace

void read_tools(const Fields& body, ApiRequest& request) {
    Json tools = Json::array();
    if (const auto fields = body.array("tools", kMaxTools)) {
        for (const Field& field : *fields) {
            const Fields tool = field.object();
            if (is_function(tool)) add_tool(tool.require("function").object(), request, tools);
        }
    }
    if (!tools.empty()) request.tools_json = json_text(tools);
    const std::optional<Field> choice = body.find("tool_choice");
    if (choice) read_tool_choice(*choice, request);
    if (tools.empty()) {
        if (request.calls == Calls::required) choice->refuse("needs tools to choose from");
        request.calls = Calls::none;
    }
    request.request.format.drops_calls = request.calls == Calls::none;
    request.request.one_call_only = !body.boolean("parallel_tool_calls").value_or(true);
}

}  // namespace baltoro::server
