#include "server/openai_response_items.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "server/carried_reasoning.h"

namespace baltoro::server {
namespace {

constexpr std::size_t kMaxItems = std::size_t{1} << 16;

constexpr std::string_view kInput = "input_";

// What becomes of parts that this model does not read: those that a user sends are refused, but a
// tool's result is of use without its pictures.
enum class Media : std::uint8_t { refused, omitted };

std::string part_text(const Fields& part, Media media) {
    const Field type = part.require("type");
    const std::string& name = type.string();
    if (name == "input_text" || name == "output_text" || name == "text")
        return part.require("text").string();
    if (name == "refusal") return part.require("refusal").string();
    if (!name.starts_with(kInput)) return {};
    if (media == Media::omitted)
        for (const char* kind : {"image", "file", "audio", "video"})
            if (name.substr(kInput.size()) == kind) return fmt::format("[{} omitted]", kind);
    type.refuse("is of a kind that this model does not read; send text", "unsupported_content");
}

std::string content_text(const Field& content, Media media) {
    if (content.is_string()) return content.string();
    if (!content.is_array()) content.refuse("must be a string or an array of parts");
    std::string text;
    for (const Field& item : content.array(kMaxItems))
        text += part_text(item.object(), media);
    return text;
}

// The texts of a reasoning item's `content` or `summary`, each a paragraph.
std::string paragraphs(const Fields& item, const char* key, std::string_view type) {
    std::string text;
    const auto parts = item.array(key, kMaxItems);
    if (!parts) return text;
    for (const Field& field : *parts) {
        const Fields part = field.object();
        const std::string* part_type = part.string("type");
        if (part_type != nullptr && *part_type != type) continue;
        const std::string& paragraph = part.require("text").string();
        text += text.empty() ? paragraph : "\n\n" + paragraph;
    }
    return text;
}

// What clients send back differs: Codex the encrypted content alone, others the item as it came,
// and what another server wrote may have no more than a summary.
std::string reasoning_of(const Fields& item) {
    const std::string* carried = item.string("encrypted_content");
    const auto text = carried != nullptr ? carried_reasoning(*carried) : std::nullopt;
    if (text && !text->empty()) return *text;
    const std::string content = paragraphs(item, "content", "reasoning_text");
    return content.empty() ? paragraphs(item, "summary", "summary_text") : content;
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
    const std::string text = content_text(item.require("content"), Media::refused);
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

// Thoughts begin a turn, or go on with those before them.
void ResponseItems::add_reasoning(const std::string& text) {
    if (text.empty()) return;
    const bool goes_on = !messages_.empty() && messages_.back().contains("reasoning_content") &&
                         messages_.back()["content"] == "" &&
                         !messages_.back().contains("tool_calls");
    if (!goes_on) add_text("assistant", "");
    Json& message = messages_.back();
    const std::string before = message.value("reasoning_content", std::string());
    message["reasoning_content"] = before.empty() ? text : before + "\n\n" + text;
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
                              {"content", content_text(item.require("output"), Media::omitted)}};
        messages_.push_back(message);
    } else if (*type == "reasoning" && keeps_reasoning_) {
        add_reasoning(reasoning_of(item));
    }
}

}  // namespace baltoro::server
