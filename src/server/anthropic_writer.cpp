#include "server/anthropic_writer.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "server/json_fields.h"

namespace baltoro::server {
namespace {

// Clients send it back with the thinking and ours ignores it, but they require one that is not
// empty.
constexpr const char* kSignature = "YmFsdG9ybw==";

// Claude Code gives up after 300 s without a content event, and pings are none for it. Two minutes
// leave room for a stalled network and spare every shorter wait the sight of an empty thought (of
// an empty text, if thoughts are not asked for). A call that is being written may have an empty
// delta at any time.
constexpr double kSilenceBeforeThinking = 120.0;

std::string to_event(const Json& data) {
    return "event: " + data.at("type").get<std::string>() + "\ndata: " + json_text(data) + "\n\n";
}

std::string ping() {
    return to_event({{"type", "ping"}});
}

// Unique per conversation although models count their calls from 0 again now and then: the
// message's id and the call's place make it so. The model's own id follows for whoever reads logs;
// characters that Anthropic's ids may not have become '_'.
std::string tool_use_id(const std::string& message_id, std::size_t call_idx, std::string id) {
    constexpr std::size_t kLongestModelId = 64;
    if (id.size() > kLongestModelId) id.erase(0, id.size() - kLongestModelId);
    std::string text = "toolu_";
    text += message_id.starts_with("msg_") ? message_id.substr(4) : message_id;
    text += '_' + std::to_string(call_idx) + '_' + id;
    for (char& c : text) {
        const bool is_plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                              (c >= '0' && c <= '9') || c == '-' || c == '_';
        if (!is_plain) c = '_';
    }
    return text;
}

// A call's input in a whole reply is an object. Arguments that are none (malformed, or cut by
// max_tokens) become an empty one: clients check it against the tool's schema and tell the model
// what is missing, which repairs the call. A stand-in key would pass schemas without required
// properties just the same and would come back in the history as something to imitate.
Json input_object(const std::string& arguments) {
    const Result<Json> input = parse_body(arguments);
    return input ? input.value() : Json::object();
}

Json usage_of(int prompt_tokens, const AnswerUsage& usage) {
    return {{"input_tokens", prompt_tokens - usage.cached_tokens},
            {"cache_creation_input_tokens", 0},
            {"cache_read_input_tokens", usage.cached_tokens},
            {"output_tokens", usage.completion_tokens}};
}

}  // namespace

MessagesWriter::MessagesWriter(const ApiRequest& request, std::string message_id, int prompt_tokens)
    : model_(request.model),
      message_id_(std::move(message_id)),
      prompt_tokens_(prompt_tokens),
      shows_thinking_(request.thinking) {}

std::string MessagesWriter::open() const {
    const Json message = {{"id", message_id_},        {"type", "message"},
                          {"role", "assistant"},      {"model", model_},
                          {"content", Json::array()}, {"stop_reason", nullptr},
                          {"stop_sequence", nullptr}, {"usage", usage_of(prompt_tokens_, {})}};
    return to_event({{"type", "message_start"}, {"message", message}}) + ping();
}

std::string MessagesWriter::add(int choice_idx, AnswerEvents events) {
    check(choice_idx == 0, "the Messages API has one answer per request");
    std::string out;
    if (has_failed_) return out;
    for (const AnswerPart& part : events.parts)
        add_part(part, out);
    if (!events.is_finished && events.error.empty()) return out;

    reason_ = events.reason;
    stop_text_ = std::move(events.stop_text);
    usage_ = events.usage;
    std::string error = std::move(events.error);
    if (error.empty() && reason_ == FinishReason::cancelled) error = "The answer was cancelled.";
    if (error.empty()) return out;
    has_failed_ = true;
    const Json inner = {{"type", "api_error"}, {"message", error}};
    return out + to_event({{"type", "error"}, {"error", inner}});
}

std::string MessagesWriter::heartbeat(double silent_s) {
    if (has_failed_) return {};
    std::string out = ping();
    const bool is_writing_call = is_block_open_ && blocks_.back().kind == Block::Kind::tool_use;
    if (silent_s < kSilenceBeforeThinking && !is_writing_call) return out;
    const Block::Kind kind = shows_thinking_ ? Block::Kind::thinking : Block::Kind::text;
    if (!is_block_open_) open_block({.kind = kind, .is_waiting = true}, out);
    send_delta(blocks_.back().kind, {}, out);
    return out;
}

std::string MessagesWriter::close() {
    if (has_failed_) return {};
    std::string out;
    close_block(out);
    // Clients read content[0].text without asking whether there is one.
    const auto is_empty_thought = [](const Block& block) {
        return block.is_waiting && block.kind == Block::Kind::thinking;
    };
    if (std::all_of(blocks_.begin(), blocks_.end(), is_empty_thought)) {
        open_block({}, out);
        close_block(out);
    }
    const Json delta = {{"stop_reason", stop_reason()},
                        {"stop_sequence", text_or_null(stop_text_)}};
    const Json usage = usage_of(prompt_tokens_, usage_);
    out += to_event({{"type", "message_delta"}, {"delta", delta}, {"usage", usage}});
    return out + to_event({{"type", "message_stop"}});
}

std::string MessagesWriter::body() const {
    Json content = Json::array();
    for (const Block& block : blocks_) {
        if (block.is_waiting) continue;
        switch (block.kind) {
            case Block::Kind::text:
                content.push_back({{"type", "text"}, {"text", block.text}});
                break;
            case Block::Kind::thinking:
                content.push_back(
                    {{"type", "thinking"}, {"thinking", block.text}, {"signature", kSignature}});
                break;
            case Block::Kind::tool_use:
                content.push_back({{"type", "tool_use"},
                                   {"id", block.id},
                                   {"name", block.name},
                                   {"input", input_object(block.text)}});
                break;
        }
    }
    if (content.empty()) content.push_back({{"type", "text"}, {"text", ""}});
    return json_text({{"id", message_id_},
                      {"type", "message"},
                      {"role", "assistant"},
                      {"model", model_},
                      {"content", content},
                      {"stop_reason", stop_reason()},
                      {"stop_sequence", text_or_null(stop_text_)},
                      {"usage", usage_of(prompt_tokens_, usage_)}});
}

void MessagesWriter::add_part(const AnswerPart& part, std::string& out) {
    switch (part.kind) {
        case AnswerPart::Kind::content:
            return add_text(Block::Kind::text, part.text, out);
        case AnswerPart::Kind::reasoning:
            // Anthropic's API has thoughts for those who ask for them. Others may not know the
            // block, and read content[0].text.
            if (!shows_thinking_) return;
            return add_text(Block::Kind::thinking, part.text, out);
        case AnswerPart::Kind::call_begin:
            return begin_call(part, out);
        case AnswerPart::Kind::call_arguments:
            return add_arguments(part.text, out);
        case AnswerPart::Kind::call_end:
            return end_call(part, out);
    }
}

void MessagesWriter::add_text(Block::Kind kind, std::string_view text, std::string& out) {
    if (text.empty()) return;
    if (!is_block_open_ || blocks_.back().kind != kind) {
        close_block(out);
        open_block({.kind = kind}, out);
    }
    blocks_.back().text += text;
    blocks_.back().is_waiting = false;
    send_delta(kind, text, out);
}

void MessagesWriter::begin_call(const AnswerPart& part, std::string& out) {
    close_block(out);
    const auto call_idx = static_cast<std::size_t>(part.call_idx);
    open_block({.kind = Block::Kind::tool_use,
                .id = tool_use_id(message_id_, call_idx, part.text),
                .name = part.name},
               out);
    arguments_ = {};
    n_sent_bytes_ = 0;
}

// The SDKs read what they have of a call's arguments at every delta and give up the whole answer if
// it is not the beginning of an object, so from the first mistake on nothing more is sent.
void MessagesWriter::add_arguments(std::string_view text, std::string& out) {
    check(is_block_open_ && blocks_.back().kind == Block::Kind::tool_use,
          "arguments belong to a call that has begun");
    blocks_.back().text += text;
    arguments_.push(text);
    send_arguments(arguments_.n_bytes(), out);
}

// Arguments that are no object, be they malformed or cut by max_tokens, stay without their end, as
// in Anthropic's own API when max_tokens cuts them: whoever reads them finds no object, and the
// SDKs keep the values that are complete. Closing what is open would make half a value look whole.
void MessagesWriter::end_call(const AnswerPart& part, std::string& out) {
    if (part.is_complete) {
        ++n_complete_calls_;
    } else {
        has_cut_call_ = true;
    }
    const std::string& arguments = blocks_.back().text;
    if (parse_body(arguments)) {
        send_arguments(arguments.size(), out);
    } else if (n_sent_bytes_ == 0) {
        send_delta(Block::Kind::tool_use, "{}", out);
    }
    close_block(out);
}

// The first `n_bytes` of the call's arguments.
void MessagesWriter::send_arguments(std::size_t n_bytes, std::string& out) {
    if (n_bytes == n_sent_bytes_) return;
    const std::string_view arguments = blocks_.back().text;
    send_delta(Block::Kind::tool_use, arguments.substr(n_sent_bytes_, n_bytes - n_sent_bytes_),
               out);
    n_sent_bytes_ = n_bytes;
}

void MessagesWriter::open_block(Block block, std::string& out) {
    Json content;
    switch (block.kind) {
        case Block::Kind::text:
            content = {{"type", "text"}, {"text", ""}};
            break;
        case Block::Kind::thinking:
            content = {{"type", "thinking"}, {"thinking", ""}, {"signature", ""}};
            break;
        case Block::Kind::tool_use:
            content = {{"type", "tool_use"},
                       {"id", block.id},
                       {"name", block.name},
                       {"input", Json::object()}};
            break;
    }
    out += to_event(
        {{"type", "content_block_start"}, {"index", blocks_.size()}, {"content_block", content}});
    blocks_.push_back(std::move(block));
    is_block_open_ = true;
}

void MessagesWriter::close_block(std::string& out) {
    if (!is_block_open_) return;
    const std::size_t index = blocks_.size() - 1;
    if (blocks_.back().kind == Block::Kind::thinking) {
        const Json delta = {{"type", "signature_delta"}, {"signature", kSignature}};
        out += to_event({{"type", "content_block_delta"}, {"index", index}, {"delta", delta}});
    }
    out += to_event({{"type", "content_block_stop"}, {"index", index}});
    is_block_open_ = false;
}

void MessagesWriter::send_delta(Block::Kind kind, std::string_view text, std::string& out) const {
    Json delta;
    switch (kind) {
        case Block::Kind::text:
            delta = {{"type", "text_delta"}, {"text", text}};
            break;
        case Block::Kind::thinking:
            delta = {{"type", "thinking_delta"}, {"thinking", text}};
            break;
        case Block::Kind::tool_use:
            delta = {{"type", "input_json_delta"}, {"partial_json", text}};
            break;
    }
    const std::size_t index = blocks_.size() - 1;
    out += to_event({{"type", "content_block_delta"}, {"index", index}, {"delta", delta}});
}

// A call that max_tokens has cut must not be run, whatever came before it.
const char* MessagesWriter::stop_reason() const {
    if (n_complete_calls_ > 0 && !has_cut_call_) return "tool_use";
    switch (reason_) {
        case FinishReason::length:
            return "max_tokens";
        case FinishReason::context_full:
            return "model_context_window_exceeded";
        case FinishReason::stop:
        case FinishReason::cancelled:
            break;
    }
    return stop_text_.empty() ? "end_turn" : "stop_sequence";
}

}  // namespace baltoro::server
