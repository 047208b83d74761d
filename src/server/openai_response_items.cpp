#include "server/openai_response_items.h"

#include <string>
#include <utility>

#include "server/carried_reasoning.h"

namespace baltoro::server {
namespace {

constexpr std::size_t kMaxItems = std::size_t{1} << 16;

std::string content_text(const Field& content) {
    if (content.is_string()) return content.string();
    if (!content.is_array()) content.refuse("must be a string or an array of parts");
    std::string text;
    for (const Field& item : content.array(kMaxItems)) {
        const Fields part = item.object();
        const Field type = part.require("type");
        const std::string& name = type.string();
        if (name == "input_text" || name == "output_text" || name == "text") {
            text += part.require("text").string();
        } else if (name == "refusal") {
            text += part.require("refusal").string();
        } else if (name.starts_with("input_")) {
            type.refuse("is of a kind that this model does not read; send text",
                        "unsupported_content");
        }
    }
    return text;
}

}  // namespace

// The assistant message that goes on, or a new one.
Json& ResponseItems::assistant() {
    if (messages_.empty() || messages_.back()["role"] != "assistant") add_text("assistant", "");
    return messages_.back();
}

void ResponseItems::add_message(const Fields& item) {
    const Field role = item.require("role");
    const std::string& name = role.string();
    const std::string text = content_text(item.require("content"));
    if (name == "assistant") {
        Json& message = assistant();
        message["content"] = message["content"].get<std::string>() + text;
    } else if (name == "developer" || name == "system") {
        add_text("system", text);
    } else if (name == "user") {
        add_text("user", text);
    } else {
        role.refuse("must be user, assistant, system or developer");
    }
}

void ResponseItems::add(const Fields& item) {
    const std::string* type = item.string("type");
    if (type == nullptr || *type == "message") return add_message(item);
    if (*type == "function_call") {
        Json call = {{"id", item.require("call_id").string()}, {"type", "function"}};
        const std::string* arguments = item.string("arguments");
        call["function"] = {{"name", item.require("name").string()},
                            {"arguments", arguments != nullptr ? *arguments : "{}"}};
        assistant()["tool_calls"].push_back(std::move(call));
        n_calls_++;
    } else if (*type == "function_call_output") {
        const Json message = {{"role", "tool"},
                              {"tool_call_id", item.require("call_id").string()},
                              {"content", content_text(item.require("output"))}};
        messages_.push_back(message);
    } else if (*type == "reasoning" && keeps_reasoning_) {
        const std::string* carried = item.string("encrypted_content");
        const auto text = carried != nullptr ? carried_reasoning(*carried) : std::nullopt;
        if (text && !text->empty())
            add_text("assistant", ""), assistant()["reasoning_content"] = *text;
    }
}

}  // namespace baltoro::server
