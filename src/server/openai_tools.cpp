#include "server/openai_tools.h"

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "server/tool_declarations.h"

namespace baltoro::server {
namespace {

constexpr std::size_t kMaxTools = 1024;

using Calls = ApiRequest::Calls;

bool is_function(const Fields& tool) {
    const std::string* type = tool.string("type");
    return type == nullptr ? tool.find("function").has_value() : *type == "function";
}

// The name that a choice gives, of a tool that was declared.
std::string chosen_name(const Fields& choice, const ToolDeclarations& tools) {
    return tools.declared_name(choice.require("function").object().require("name"));
}

void read_allowed_tools(const Fields& choice, ToolDeclarations& tools, ApiRequest& request) {
    const Fields allowed = choice.require("allowed_tools").object();
    request.calls = calls_of_mode(allowed.require("mode"));
    const Field list = allowed.require("tools");
    std::vector<std::string> names;
    for (const Field& tool : list.array(kMaxTools))
        names.push_back(chosen_name(tool.object(), tools));
    tools.allow_only(names, list);
}

void read_tool_choice(const Field& choice, ToolDeclarations& tools, ApiRequest& request) {
    if (choice.is_string()) {
        request.calls = calls_of_mode(choice);
        return;
    }
    if (!choice.is_object()) choice.refuse("must be a string or an object");
    const Fields fields = choice.object();
    const Field type = fields.require("type");
    if (type.string() == "function") {
        request.forced_tool = chosen_name(fields, tools);
        request.calls = Calls::required;
    } else if (type.string() == "allowed_tools") {
        read_allowed_tools(fields, tools, request);
    } else {
        type.refuse("must be function or allowed_tools");
    }
}

}  // namespace

void read_tools(const Fields& body, ApiRequest& request) {
    ToolDeclarations tools(request);
    if (const auto fields = body.array("tools", kMaxTools)) {
        for (const Field& field : *fields) {
            const Fields tool = field.object();
            if (is_function(tool)) tools.add(tool.require("function").object(), "parameters");
        }
    }
    tools.finish();
    if (const std::optional<Field> choice = body.find("tool_choice"))
        read_tool_choice(*choice, tools, request);
    tools.check_choice("tool_choice");
    request.request.one_call_only = !body.boolean("parallel_tool_calls").value_or(true);
}

}  // namespace baltoro::server
