#include "server/anthropic_blocks.h"

#include <utility>
#include <vector>

namespace baltoro::server {
namespace {

constexpr std::size_t kMaxBlocks = std::size_t{1} << 16;
constexpr std::string_view kBillingHeader = "x-anthropic-billing-header";

bool is_media(std::string_view type) {
    return type == "image" || type == "document" || type == "audio";
}

[[noreturn]] void refuse_media(const Fields& block, std::string_view type) {
    block.require("type").refuse("is " + std::string(type) + ", but this model reads text only",
                                 "unsupported_content");
}

// "user" and "assistant"; a system message stays where it stands (Claude Code sends some inside the
// conversation), and its proxies have names of their own for the user.
std::string role_of(const Fields& message) {
    const Field role = message.require("role");
    const std::string& name = role.string();
    if (name == "ctx" || name == "msg") return "user";
    if (name != "user" && name != "assistant" && name != "system")
        role.refuse("must be user, assistant or system");
    return name;
}

// A tool's result in text; pictures in it are left out, for the rest is still of use.
std::string result_text(const Fields& result) {
    const std::optional<Field> content = result.find("content");
    if (!content) return {};
    if (content->is_string()) return content->string();
    if (!content->is_array()) content->refuse("must be a string or an array of blocks");
    std::string text;
    for (const Field& item : content->array(kMaxBlocks)) {
        const Fields block = item.object();
        const std::string& type = block.require("type").string();
        if (type == "text") {
            text += block.require("text").string();
        } else if (is_media(type)) {
            text += "[" + type + " omitted]";
        }
    }
    return text;
}

}  // namespace

void MessageList::add_system(const Field& system) {
    std::string text;
    if (system.is_string()) {
        text = system.string();
        if (text.starts_with(kBillingHeader)) text.clear();
    } else {
        for (const Field& item : system.array(kMaxBlocks)) {
            const Fields block = item.object();
            const std::string* part = block.string("text");
            if (part == nullptr || part->starts_with(kBillingHeader)) continue;
            text += text.empty() ? *part : "\n" + *part;
        }
    }
    if (!text.empty()) messages_.push_back({{"role", "system"}, {"content", text}});
}

void MessageList::add(const Fields& message) {
    const std::string role = role_of(message);
    const Field content = message.require("content");
    if (content.is_string()) {
        messages_.push_back({{"role", role}, {"content", content.string()}});
        return;
    }
    if (!content.is_array()) content.refuse("must be a string or an array of blocks");
    add_blocks(role, content.array(kMaxBlocks));
}

void MessageList::add_blocks(const std::string& role, const std::vector<Field>& blocks) {
    if (role != "assistant") {
        std::string content;
        for (const Field& item : blocks) {
            const Fields block = item.object();
            const std::string& type = block.require("type").string();
            if (type == "tool_result") {
                flush(role, content);
                add_tool_result(block);
            } else {
                add_user_block(block, type, content);
            }
        }
        return flush(role, content);
    }
    Json message = {{"role", role}, {"content", ""}};
    for (const Field& item : blocks) {
        const Fields block = item.object();
        add_assistant_block(block, block.require("type").string(), message);
    }
    messages_.push_back(std::move(message));
}

// Text between tool results stays between them.
void MessageList::flush(const std::string& role, std::string& content) {
    if (content.empty()) return;
    messages_.push_back({{"role", role}, {"content", std::exchange(content, {})}});
}

void MessageList::add_user_block(const Fields& block,
                                 const std::string& type,
                                 std::string& content) {
    if (is_media(type)) refuse_media(block, type);
    if (type != "text" && type != "search_result") return;
    if (const std::string* text = block.string("text")) {
        content += *text;
    } else if (type == "text") {
        (void)block.require("text");
    }
}

void MessageList::add_tool_result(const Fields& block) {
    Json message = {{"role", "tool"}, {"tool_call_id", block.require("tool_use_id").string()}};
    std::string text = result_text(block);
    // The template has no place for the flag, and the model should see that the call failed.
    if (block.boolean("is_error").value_or(false)) text = "Error: " + text;
    message["content"] = std::move(text);
    messages_.push_back(std::move(message));
}

void MessageList::add_assistant_block(const Fields& block, const std::string& type, Json& message) {
    if (is_media(type)) refuse_media(block, type);
    if (type == "text") {
        message["content"] = message["content"].get<std::string>() + block.require("text").string();
    } else if (type == "thinking" && keeps_reasoning_) {
        const std::string& thinking = block.require("thinking").string();
        if (thinking.empty()) return;
        const std::string before = message.value("reasoning_content", std::string());
        message["reasoning_content"] = before + thinking;
    } else if (type == "tool_use") {
        Json call = {{"id", block.require("id").string()}, {"type", "function"}};
        const std::optional<Fields> input = block.object("input");
        call["function"] = {{"name", block.require("name").string()},
                            {"arguments", input ? json_text(input->json()) : "{}"}};
        message["tool_calls"].push_back(std::move(call));
        n_calls_++;
    }
}

bool MessageList::ends_with_assistant_text() const {
    if (messages_.empty()) return false;
    const Json& last = messages_.back();
    return last["role"] == "assistant" && !last.contains("tool_calls") && last["content"] != "";
}

}  // namespace baltoro::server
