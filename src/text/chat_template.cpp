#include "text/chat_template.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "base/error.h"
#include "text/python_json.h"

namespace baltoro {
namespace {

using Kind = JsonValue::Kind;

constexpr std::string_view kKimiSystem = "You are Kimi, an AI assistant created by Moonshot AI.";
constexpr std::string_view kMoonlightSystem = "You are a helpful assistant";

// The prompt as it grows. Every marker is a piece of its own; adjacent text is one piece.
class Prompt {
  public:
    void marker(std::string_view text) { pieces_.push_back({std::string(text), true}); }
    void text(std::string_view text) {
        if (text.empty()) return;
        if (pieces_.empty() || pieces_.back().is_marker) pieces_.push_back({});
        pieces_.back().text.append(text);
    }
    std::vector<PromptPiece> take() { return std::move(pieces_); }

  private:
    std::vector<PromptPiece> pieces_;
};

// A value of the conversation and where it stands, for messages. `value` is null where the key is
// absent.
struct Place {
    const JsonValue* value;
    std::string name;

    Place at(std::string_view key) const {
        return {value == nullptr ? nullptr : value->find(key), fmt::format("{}.{}", name, key)};
    }
    Place at(std::size_t i) const { return {&value->items[i], fmt::format("{}[{}]", name, i)}; }
    bool is(Kind kind) const noexcept { return value != nullptr && value->kind == kind; }
    bool is_string(std::string_view text) const noexcept {
        return is(Kind::string) && value->text == text;
    }
    bool is_none() const noexcept { return value == nullptr || value->kind == Kind::null; }
    Error error(std::string_view expected) const {
        return Error(fmt::format("{}: expected {}{}", name, expected,
                                 value == nullptr ? ", found nothing" : ""));
    }
};

Place require(Place place, Kind kind, std::string_view expected) {
    if (!place.is(kind)) throw place.error(expected);
    return place;
}

// What Jinja prints for a value: nothing for an absent one, Python's spelling for the others.
std::string printed(const Place& place) {
    if (place.value == nullptr) return {};
    switch (place.value->kind) {
        case Kind::null:
            return "None";
        case Kind::boolean:
            return place.value->boolean ? "True" : "False";
        case Kind::number:
        case Kind::string:
            return place.value->text;
        case Kind::array:
        case Kind::object:
            break;
    }
    throw place.error("a string");
}

// A message's tool calls; an absent, null or empty list is none.
bool has_tool_calls(const Place& message) {
    const Place calls = message.at("tool_calls");
    if (calls.is_none()) return false;
    return !require(calls, Kind::array, "an array").value->items.empty();
}

void render_image(ChatFormat format, Prompt& prompt) {
    prompt.marker(format == ChatFormat::k2_5 ? "<|media_begin|>" : "<|media_start|>");
    prompt.text("image");
    prompt.marker("<|media_content|>");
    prompt.marker("<|media_pad|>");
    prompt.marker("<|media_end|>");
    prompt.text("\n");  // the line end of the template's source that its tags leave in place
}

void render_part(ChatFormat format, const Place& part, Prompt& prompt) {
    require(part, Kind::object, "an object");
    const Place type = part.at("type");
    if (format == ChatFormat::k2_5) {
        if (type.is_string("image") || type.is_string("image_url"))
            return render_image(format, prompt);
        if (type.is_string("video") || type.is_string("video_url")) {
            prompt.marker("<|kimi_k25_video_placeholder|>");
            prompt.text("\n");
            return;
        }
    } else if (type.is_string("image") || part.value->find("image") != nullptr ||
               part.value->find("image_url") != nullptr) {
        return render_image(format, prompt);
    }
    prompt.text(printed(part.at("text")));
}

void render_content(ChatFormat format, const Place& message, Prompt& prompt) {
    const Place content = message.at("content");
    if (content.is_none()) return;
    if (content.is(Kind::string)) return prompt.text(content.value->text);
    require(content, Kind::array, "a string, an array or null");
    for (std::size_t i = 0; i < content.value->items.size(); ++i)
        render_part(format, content.at(i), prompt);
}

void render_header(std::string_view role, std::string_view name, Prompt& prompt) {
    if (role == "user") {
        prompt.marker("<|im_user|>");
    } else if (role == "assistant") {
        prompt.marker("<|im_assistant|>");
    } else {
        prompt.marker("<|im_system|>");
    }
    prompt.text(name);
    prompt.marker("<|im_middle|>");
}

void render_message_header(const Place& message, Prompt& prompt) {
    const std::string& role = message.at("role").value->text;
    const Place name = message.at("name");
    if (!name.is_none()) require(name, Kind::string, "a string");
    const bool is_named = !name.is_none() && !name.value->text.empty();
    render_header(role, is_named ? name.value->text : role, prompt);
}

void render_tool_calls(const Place& message, Prompt& prompt) {
    const Place calls = message.at("tool_calls");
    prompt.marker("<|tool_calls_section_begin|>");
    for (std::size_t i = 0; i < calls.value->items.size(); ++i) {
        const Place call = require(calls.at(i), Kind::object, "an object");
        const Place function = require(call.at("function"), Kind::object, "an object");
        const Place arguments = function.at("arguments");
        if (arguments.value == nullptr) throw arguments.error("a string or an object");
        prompt.marker("<|tool_call_begin|>");
        prompt.text(printed(call.at("id")));
        prompt.marker("<|tool_call_argument_begin|>");
        prompt.text(arguments.is(Kind::string) ? arguments.value->text
                                               : dump_json(*arguments.value));
        prompt.marker("<|tool_call_end|>");
    }
    prompt.marker("<|tool_calls_section_end|>");
}

// The body of messages that are not the assistant's.
void render_plain_body(ChatFormat format, const Place& message, Prompt& prompt) {
    if (message.at("role").is_string("tool")) {
        prompt.text("## Return of ");
        prompt.text(printed(message.at("tool_call_id")));
        prompt.text("\n");
    }
    render_content(format, message, prompt);
}

void render_system(std::string_view text, Prompt& prompt) {
    render_header("system", "system", prompt);
    prompt.text(text);
    prompt.marker("<|im_end|>");
}

// K2-Instruct and Moonlight: reasoning is not rendered.
void render_instruct(ChatFormat format, const Place& messages, Prompt& prompt) {
    const std::size_t n_messages = messages.value->items.size();
    if (n_messages > 0 && !messages.at(0).at("role").is_string("system")) {
        const bool is_kimi = format == ChatFormat::k2_instruct;
        render_system(is_kimi ? kKimiSystem : kMoonlightSystem, prompt);
        // K2-Instruct's template leaves the line end after its inserted turn.
        if (is_kimi) prompt.text("\n");
    }
    for (std::size_t i = 0; i < n_messages; ++i) {
        const Place message = messages.at(i);
        render_message_header(message, prompt);
        render_plain_body(format, message, prompt);
        if (message.at("role").is_string("assistant") && has_tool_calls(message))
            render_tool_calls(message, prompt);
        prompt.marker("<|im_end|>");
    }
}

// Messages before this one have their reasoning dropped: one past the last assistant message
// without tool calls.
std::size_t n_history_messages(const Place& messages) {
    for (std::size_t i = messages.value->items.size(); i > 0; --i) {
        const Place message = messages.at(i - 1);
        if (message.at("role").is_string("assistant") && !has_tool_calls(message)) return i;
    }
    return 0;
}

// K2-Thinking and K2.5.
void render_reasoning(ChatFormat format, const Place& messages, bool thinking, Prompt& prompt) {
    const std::size_t n_messages = messages.value->items.size();
    const bool has_system = n_messages > 0 && messages.at(0).at("role").is_string("system");
    if (format == ChatFormat::k2_thinking && !has_system) render_system(kKimiSystem, prompt);
    const std::size_t n_history = n_history_messages(messages);
    for (std::size_t i = 0; i < n_messages; ++i) {
        const Place message = messages.at(i);
        const bool is_assistant = message.at("role").is_string("assistant");
        render_message_header(message, prompt);
        if (is_assistant) {
            prompt.marker("<think>");
            if (i >= n_history && thinking) prompt.text(printed(message.at("reasoning_content")));
            prompt.marker("</think>");
        }
        render_plain_body(format, message, prompt);
        if (is_assistant && has_tool_calls(message)) render_tool_calls(message, prompt);
        prompt.marker("<|im_end|>");
    }
}

void render_tools(const std::string& tools_json, Prompt& prompt) {
    if (tools_json.empty()) return;
    JsonValue tools = parse_json(tools_json, "tools");
    require({&tools, "tools"}, Kind::array, "an array");
    if (tools.items.empty()) return;
    sort_keys(tools);
    render_header("system", "tool_declare", prompt);
    prompt.text(dump_json(tools, {.item = ",", .key = ":"}));
    prompt.marker("<|im_end|>");
}

void render_generation_prompt(ChatFormat format, bool thinking, Prompt& prompt) {
    render_header("assistant", "assistant", prompt);
    if (format != ChatFormat::k2_5) return;
    prompt.marker("<think>");
    if (!thinking) prompt.marker("</think>");
}

}  // namespace

std::vector<PromptPiece> render_chat(ChatFormat format,
                                     const std::string& messages_json,
                                     const std::string& tools_json,
                                     const ChatOptions& options) {
    const JsonValue parsed = parse_json(messages_json, "messages");
    const Place messages = require({&parsed, "messages"}, Kind::array, "an array");
    for (std::size_t i = 0; i < parsed.items.size(); ++i) {
        const Place message = require(messages.at(i), Kind::object, "an object");
        require(message.at("role"), Kind::string, "a string");
    }
    Prompt prompt;
    render_tools(tools_json, prompt);
    if (format == ChatFormat::k2_instruct || format == ChatFormat::moonlight) {
        render_instruct(format, messages, prompt);
    } else {
        // Only K2.5's template knows `thinking`.
        const bool thinking = options.thinking || format == ChatFormat::k2_thinking;
        render_reasoning(format, messages, thinking, prompt);
    }
    if (options.add_generation_prompt) render_generation_prompt(format, options.thinking, prompt);
    return prompt.take();
}

std::string prompt_text(const std::vector<PromptPiece>& pieces) {
    std::string text;
    for (const PromptPiece& piece : pieces)
        text += piece.text;
    return text;
}

std::vector<std::int32_t> encode_prompt(const Tokenizer& tokenizer,
                                        const std::vector<PromptPiece>& pieces) {
    std::vector<std::int32_t> ids;
    std::string plain;
    const auto append = [&ids](const std::vector<std::int32_t>& more) {
        ids.insert(ids.end(), more.begin(), more.end());
    };
    for (const PromptPiece& piece : pieces) {
        if (!piece.is_marker) {
            plain += piece.text;
            continue;
        }
        const std::vector<std::int32_t> marker = tokenizer.encode_with_special(piece.text);
        const bool is_registered = std::any_of(marker.begin(), marker.end(), [&](std::int32_t id) {
            return tokenizer.is_special(id);
        });
        if (!is_registered) {  // the model knows it as text, one with what surrounds it
            plain += piece.text;
            continue;
        }
        append(tokenizer.encode(plain));
        plain.clear();
        append(marker);
    }
    append(tokenizer.encode(plain));
    return ids;
}

}  // namespace baltoro
