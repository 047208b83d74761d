#include "server/openai_messages.h"

#include <array>
#include <string>
#include <string_view>
#include <utility>

#include <fmt/format.h>

namespace baltoro::server {
namespace {

constexpr std::size_t kMaxMessages = std::size_t{1} << 16;
constexpr std::size_t kMaxParts = std::size_t{1} << 16;
constexpr std::size_t kMaxCalls = 1024;  // of one message

// Roles as clients spell them, and as the template knows them.
constexpr std::array<std::pair<std::string_view, const char*>, 8> kRoles = {{
    {"system", "system"},
    {"developer", "system"},
    {"user", "user"},
    {"ctx", "user"},  // Claude Code and its proxies
    {"msg", "user"},
    {"assistant", "assistant"},
    {"tool", "tool"},
    {"function", "tool"},
}};

// Parts that other models read.
constexpr std::array<std::string_view, 8> kMediaParts = {
    "image_url", "image", "input_image", "input_audio", "audio", "file", "input_file", "video_url"};

std::string role_of(const Fields& message) {
    const Field role = message.require("role");
    for (const auto& [spelling, name] : kRoles) {
        if (role.string() == spelling) return name;
    }
    role.refuse("must be system, developer, user, assistant or tool");
}

std::string part_text(const Fields& part) {
    const Field type = part.require("type");
    const std::string& name = type.string();
    if (name == "text" || name == "input_text" || name == "output_text")
        return part.require("text").string();
    if (name == "refusal") return part.require("refusal").string();
    for (const std::string_view media : kMediaParts) {
        if (name == media)
            type.refuse(fmt::format("is {}, but this model reads text only", media),
                        "unsupported_content");
    }
    type.refuse("is not a kind of content that this model reads; send text", "unsupported_content");
}

// Parts are joined without a separator, as the template prints them.
std::string content_of(const Fields& message) {
    const std::optional<Field> content = message.find("content");
    if (!content) return {};
    if (content->is_string()) return content->string();
    if (!content->is_array()) content->refuse("must be a string, an array of parts or null");
    std::string text;
    for (const Field& part : content->array(kMaxParts))
        text += part_text(part.object());
    return text;
}

Json function_of(const Fields& function) {
    Json result;
    result["name"] = function.require("name").string();
    const std::optional<Field> arguments = function.find("arguments");
    if (!arguments) {
        result["arguments"] = "{}";
    } else if (arguments->is_string() || arguments->is_object()) {
        result["arguments"] = arguments->json();
    } else {
        arguments->refuse("must be a string or an object");
    }
    return result;
}

// The calls of an assistant message, in the shape of today's API.
Json calls_of(const Fields& message) {
    Json calls = Json::array();
    if (const auto fields = message.array("tool_calls", kMaxCalls)) {
        for (const Field& field : *fields) {
            const Fields call = field.object();
            Json result;
            if (const std::string* id = call.string("id")) result["id"] = *id;
            result["type"] = "function";
            result["function"] = function_of(call.require("function").object());
            calls.push_back(std::move(result));
        }
    }
    // The form before tool_calls; it had no ids.
    if (const auto function = message.object("function_call"); function && calls.empty())
        calls.push_back({{"type", "function"}, {"function", function_of(*function)}});
    return calls;
}

void add_assistant_fields(const Fields& message, const ApiLimits& limits, Json& result) {
    // Some agents send it back even when it is empty.
    const std::string* reasoning = message.string("reasoning_content");
    if (limits.has_reasoning && reasoning != nullptr && !reasoning->empty())
        result["reasoning_content"] = *reasoning;
    Json calls = calls_of(message);
    if (!calls.empty()) result["tool_calls"] = std::move(calls);
}

Json message_of(const Fields& message, const ApiLimits& limits) {
    Json result;
    const std::string role = role_of(message);
    result["role"] = role;
    const std::string* name = message.string("name");
    if (name != nullptr && !name->empty()) result["name"] = *name;
    result["content"] = content_of(message);
    if (role == "assistant") add_assistant_fields(message, limits, result);
    if (role == "tool") {
        if (const std::string* id = message.string("tool_call_id")) result["tool_call_id"] = *id;
    }
    return result;
}

// Kimi's partial mode: the answer goes on where the last message ends.
void read_partial(const Fields& last, const Json& result, ApiRequest& request) {
    const bool is_partial = last.boolean("partial").value_or(false);
    if (!is_partial || result["role"] != "assistant") return;
    if (result.contains("tool_calls"))
        last.require("partial").refuse("must be false where a message has tool_calls");
    request.continues_last = true;
}

}  // namespace

void read_messages(const Fields& body, const ApiLimits& limits, ApiRequest& request) {
    const Field field = body.require("messages");
    const std::vector<Field> messages = field.array(kMaxMessages);
    if (messages.empty()) field.refuse("must have at least 1 item");
    Json results = Json::array();
    for (const Field& message : messages) {
        results.push_back(message_of(message.object(), limits));
        const auto calls = results.back().find("tool_calls");
        if (calls != results.back().end()) request.n_past_calls += static_cast<int>(calls->size());
    }
    read_partial(messages.back().object(), results.back(), request);
    request.messages_json = json_text(results);
}

}  // namespace baltoro::server
