#include "server/openai_tools.h"

#include <optional>
#include <string>
#include <vector>

#include "server/tool_declarations.h"

namespace baltoro::server {
namespace {

constexpr std::size_t kMaxTools = 1024;

using Calls = ApiRequest::Calls;

// The fields that the shape puts into an object of their own.
Fields inner(const Fields& fields, const char* key, ToolShape shape) {
    return shape == ToolShape::nested ? fields.require(key).object() : fields;
}

bool is_function(const Fields& tool, ToolShape shape) {
    if (const std::string* type = tool.string("type")) return *type == "function";
    return shape == ToolShape::nested && tool.find("function").has_value();
}

// The name that a choice gives, of a tool that was declared.
std::string chosen_name(const Fields& choice, ToolShape shape, const ToolDeclarations& tools) {
    return tools.declared_name(inner(choice, "function", shape).require("name"));
}

void read_allowed_tools(const Fields& choice,
                        ToolShape shape,
                        ToolDeclarations& tools,
                        ApiRequest& request) {
    const Fields allowed = inner(choice, "allowed_tools", shape);
    request.calls = calls_of_mode(allowed.require("mode"));
    const Field list = allowed.require("tools");
    std::vector<std::string> names;
    for (const Field& field : list.array(kMaxTools)) {
        const Fields tool = field.object();
        // A flat tool of another type has no name of a function; it was not declared either.
        if (shape == ToolShape::flat && !is_function(tool, shape)) continue;
        names.push_back(chosen_name(tool, shape, tools));
    }
    tools.allow_only(names, list);
}

void read_choice(const Field& choice,
                 ToolShape shape,
                 ToolDeclarations& tools,
                 ApiRequest& request) {
    if (choice.is_string()) {
        request.calls = calls_of_mode(choice);
        return;
    }
    if (!choice.is_object()) choice.refuse("must be a string or an object");
    const Fields fields = choice.object();
    const Field type = fields.require("type");
    if (type.string() == "function") {
        request.forced_tool = chosen_name(fields, shape, tools);
        request.calls = Calls::required;
    } else if (type.string() == "allowed_tools") {
        read_allowed_tools(fields, shape, tools, request);
    } else {
        type.refuse("must be function or allowed_tools");
    }
}

}  // namespace

void read_tools(const Fields& body, ToolShape shape, ApiRequest& request) {
    ToolDeclarations tools(request);
    if (const auto list = body.array("tools", kMaxTools)) {
        for (const Field& field : *list) {
            const Fields tool = field.object();
            if (is_function(tool, shape)) tools.add(inner(tool, "function", shape), "parameters");
        }
    }
    tools.finish();
    if (const std::optional<Field> choice = body.find("tool_choice"))
        read_choice(*choice, shape, tools, request);
    tools.check_choice("tool_choice");
    request.request.one_call_only = !body.boolean("parallel_tool_calls").value_or(true);
}

}  // namespace baltoro::server
