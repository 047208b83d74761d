#include "server/anthropic_blocks.h"

#include <algorithm>
#include <string_view>
#include <utility>

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

// A system text without the billing headers that it begins with.
std::string_view without_billing(std::string_view text) {
    while (text.starts_with(kBillingHeader))
        text.remove_prefix(std::min(text.find('\n'), text.size() - 1) + 1);
    return text;
}

// A search result as lines of their own: what was found, where, and what it says.
std::string search_result(const Fields& block) {
    std::string text;
    const auto add_line = [&text](const std::string& line) { text += line + "\n"; };
    for (const char* key : {"title", "source"})
        if (const std::string* line = block.string(key)) add_line(*line);
    if (const auto parts = block.array("content", kMaxBlocks))
        for (const Field& part : *parts)
            if (const std::string* line = part.object().string("text")) add_line(*line);
    return text;
}

// Adds what a block of a user's message or a tool's result says; kinds that only other servers
// know say nothing. False for media, which the caller has to deal with.
bool add_block(const Fields& block, const std::string& type, std::string& text) {
    if (type == "text") {
        text += block.require("text").string();
    } else if (type == "search_result") {
        if (!text.empty() && text.back() != '\n') text += '\n';
        text += search_result(block);
    }
    return !is_media(type);
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
        if (!add_block(block, type, text)) text += "[" + type + " omitted]";
    }
    return text;
}

}  // namespace

void MessageList::add_system(const Field& system) {
    std::string text;
    if (system.is_string()) {
        text = without_billing(system.string());
    } else {
        for (const Field& item : system.array(kMaxBlocks)) {
            const std::string* whole = item.object().string("text");
            if (whole == nullptr) continue;
            const std::string_view part = without_billing(*whole);
            if (part.empty()) continue;
            if (!text.empty()) text += '\n';
            text += part;
        }
    }
    if (!text.empty()) add_text("system", std::move(text));
}

void MessageList::add(const Fields& message) {
    const std::string role = role_of(message);
    const Field content = message.require("content");
    if (content.is_string()) {
        const std::string& text = content.string();
        if (role != "system") return add_text(role, text);
        const std::string_view rest = without_billing(text);
        if (!rest.empty()) add_text(role, std::string(rest));
        return;
    }
    if (!content.is_array()) content.refuse("must be a string or an array of blocks");
    const std::vector<Field> blocks = content.array(kMaxBlocks);
    if (role == "assistant") return add_assistant(blocks);
    add_blocks(role, blocks);
}

void MessageList::add_text(const std::string& role, std::string text) {
    messages_.push_back({{"role", role}, {"content", std::move(text)}});
}

void MessageList::add_assistant(const std::vector<Field>& blocks) {
    Json message = {{"role", "assistant"}, {"content", ""}};
    for (const Field& item : blocks) {
        const Fields block = item.object();
        add_assistant_block(block, block.require("type").string(), message);
    }
    if (message["content"] != "" || message.size() > 2) messages_.push_back(std::move(message));
}

void MessageList::add_blocks(const std::string& role, const std::vector<Field>& blocks) {
    std::string content;
    for (const Field& item : blocks) {
        const Fields block = item.object();
        const std::string& type = block.require("type").string();
        if (type == "tool_result") {
            flush(role, content);
            add_tool_result(block);
        } else if (role == "system" && type == "text") {
            content += without_billing(block.require("text").string());
        } else if (!add_block(block, type, content)) {
            refuse_media(block, type);
        }
    }
    flush(role, content);
}

// Text between tool results stays between them.
void MessageList::flush(const std::string& role, std::string& content) {
    if (!content.empty()) add_text(role, std::exchange(content, {}));
}

void MessageList::add_tool_result(const Fields& block) {
    Json message = {{"role", "tool"}, {"tool_call_id", block.require("tool_use_id").string()}};
    std::string text = result_text(block);
    // The template has no place for the flag, and the model should see that the call failed.
    if (block.boolean("is_error").value_or(false))
        text = "Error: " + (text.empty() ? "the tool failed and said nothing about it." : text);
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
