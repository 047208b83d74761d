#include "server/openai_chat_writer.h"

#include <algorithm>
#include <iterator>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "base/check.h"
#include "server/answer_writer.h"
#include "server/call_arguments.h"
#include "server/json_fields.h"
#include "server/openai_reply.h"

namespace baltoro::server {
namespace {

using Kind = AnswerPart::Kind;

// "functions.NAME:IDX", the only form of id that the model itself continues well.
bool is_own_id(std::string_view id, std::string_view name) {
    const std::string begin = fmt::format("functions.{}:", name);
    if (id.substr(0, begin.size()) != begin) return false;
    const std::string_view idx = id.substr(begin.size());
    return !idx.empty() && idx.find_first_not_of("0123456789") == idx.npos;
}

// A client runs the calls of an answer that says tool_calls, so one that was cut off does not.
const char* finish_reason_of(FinishReason reason, int n_complete_calls) {
    if (reason != FinishReason::stop) return "length";
    return n_complete_calls > 0 ? "tool_calls" : "stop";
}

Json call_delta(std::size_t index, Json function) {
    return {{"tool_calls", Json::array({{{"index", index}, {"function", std::move(function)}}})}};
}

}  // namespace

struct ChatWriter::Chunk {
    int choice_idx = 0;
    Json delta = Json::object();
    const char* finish_reason = nullptr;
    Json timings = nullptr;
};

static_assert(AnswerWriter<ChatWriter>);

ChatWriter::ChatWriter(const ApiRequest& request,
                       std::string id,
                       std::int64_t created_s,
                       const Tokenizer& tokenizer)
    : head_{std::move(id), created_s, request.model, request.system_fingerprint},
      tokenizer_(tokenizer),
      is_stream_(request.stream),
      include_usage_(request.include_usage),
      has_logprobs_(request.request.n_top_logprobs >= 0),
      n_past_calls_(request.n_past_calls),
      n_prompt_tokens_(static_cast<int>(request.request.prompt.size())),
      choices_(static_cast<std::size_t>(request.n)),
      usages_(static_cast<std::size_t>(request.n)) {}

std::string ChatWriter::open() {
    std::string text;
    for (int i = 0; i < static_cast<int>(choices_.size()); i++)
        text += send({.choice_idx = i, .delta = {{"role", "assistant"}, {"content", ""}}});
    return text;
}

std::string ChatWriter::add(int choice_idx, AnswerEvents events) {
    if (has_failed_) return {};
    if (!events.error.empty()) {
        has_failed_ = true;
        return openai_error_event(events.error);
    }
    n_prefilled_ = std::max(n_prefilled_, events.prefilled_tokens);
    Choice& choice = choices_.at(static_cast<std::size_t>(choice_idx));
    if (has_logprobs_)
        std::move(events.logprobs.begin(), events.logprobs.end(),
                  std::back_inserter(choice.logprobs));
    std::string text;
    for (AnswerPart& part : events.parts)
        text += add_part(choice_idx, std::move(part));
    if (events.is_finished) text += finish(choice_idx, events);
    return text;
}

std::string ChatWriter::add_part(int choice_idx, AnswerPart&& part) {
    Choice& choice = choices_[static_cast<std::size_t>(choice_idx)];
    has_content_ = true;
    switch (part.kind) {
        case Kind::content:
            // Clients take content for text before the calls: there is none after them.
            if (part.text.empty() || !choice.calls.empty()) return {};
            choice.content += part.text;
            return send({.choice_idx = choice_idx, .delta = {{"content", std::move(part.text)}}});
        case Kind::reasoning:
            if (part.text.empty()) return {};
            choice.reasoning += part.text;
            return send(
                {.choice_idx = choice_idx, .delta = {{"reasoning_content", std::move(part.text)}}});
        case Kind::call_begin:
            return begin_call(choice_idx, std::move(part));
        case Kind::call_arguments:
            return add_arguments(choice_idx, part.text);
        case Kind::call_end:
            return end_call(choice_idx, part);
    }
    return {};
}

std::string ChatWriter::begin_call(int choice_idx, AnswerPart&& part) {
    Choice& choice = choices_[static_cast<std::size_t>(choice_idx)];
    Call call;
    call.id = call_id(choice, part);
    call.name = std::move(part.name);
    const Json delta = {{"index", choice.calls.size()},
                        {"id", call.id},
                        {"type", "function"},
                        {"function", {{"name", call.name}, {"arguments", ""}}}};
    choice.calls.push_back(std::move(call));
    return send({.choice_idx = choice_idx, .delta = {{"tool_calls", Json::array({delta})}}});
}

std::string ChatWriter::add_arguments(int choice_idx, const std::string& text) {
    Choice& choice = choices_[static_cast<std::size_t>(choice_idx)];
    check(!choice.calls.empty(), "arguments belong to a call that has begun");
    if (text.empty()) return {};
    choice.calls.back().arguments += text;
    return send({.choice_idx = choice_idx,
                 .delta = call_delta(choice.calls.size() - 1, {{"arguments", text}})});
}

std::string ChatWriter::end_call(int choice_idx, const AnswerPart& part) {
    Choice& choice = choices_[static_cast<std::size_t>(choice_idx)];
    check(!choice.calls.empty(), "a call ends after it has begun");
    if (!part.is_complete) return {};
    choice.n_complete_calls++;
    // Clients parse the arguments as JSON, which nothing is not.
    return without_leading_space(choice.calls.back().arguments).empty()
               ? add_arguments(choice_idx, "{}")
               : std::string();
}

std::string ChatWriter::finish(int choice_idx, const AnswerEvents& events) {
    Choice& choice = choices_[static_cast<std::size_t>(choice_idx)];
    usages_[static_cast<std::size_t>(choice_idx)] = events.usage;
    choice.finish_reason = finish_reason_of(events.reason, choice.n_complete_calls);
    return send({.choice_idx = choice_idx,
                 .finish_reason = choice.finish_reason,
                 .timings = timings_json(events.usage)});
}

std::string ChatWriter::call_id(const Choice& choice, const AnswerPart& part) const {
    const auto is_taken = [&](const std::string& id) {
        return std::any_of(choice.calls.begin(), choice.calls.end(),
                           [&](const Call& call) { return call.id == id; });
    };
    if (is_own_id(part.text, part.name) && !is_taken(part.text)) return part.text;
    std::size_t idx = static_cast<std::size_t>(n_past_calls_) + choice.calls.size();
    std::string id = fmt::format("functions.{}:{}", part.name, idx);
    while (is_taken(id))
        id = fmt::format("functions.{}:{}", part.name, ++idx);
    return id;
}

std::string ChatWriter::send(Chunk&& chunk) {
    if (!is_stream_) return {};
    Json choice = {{"index", chunk.choice_idx}, {"delta", std::move(chunk.delta)}};
    auto& logprobs = choices_[static_cast<std::size_t>(chunk.choice_idx)].logprobs;
    if (has_logprobs_) {
        choice["logprobs"] = logprobs.empty() ? Json(nullptr) : chat_logprobs(tokenizer_, logprobs);
        logprobs.clear();
    }
    choice["finish_reason"] =
        chunk.finish_reason == nullptr ? Json(nullptr) : Json(chunk.finish_reason);
    Json json = head_.json("chat.completion.chunk");
    json["choices"] = Json::array({std::move(choice)});
    if (!chunk.timings.is_null()) json["timings"] = std::move(chunk.timings);
    return sse_data(json_text(json));
}

std::string ChatWriter::heartbeat(double /*silent_s*/) {
    return has_content_ ? ": waiting\n\n" : prefill_comment(n_prefilled_, n_prompt_tokens_);
}

std::string ChatWriter::close() {
    if (has_failed_) return {};  // the error was the last event
    const AnswerUsage usage = total_usage(usages_, static_cast<int>(choices_.size()));
    return stream_end(head_, "chat.completion.chunk", include_usage_ ? &usage : nullptr);
}

std::string ChatWriter::body() {
    Json choices = Json::array();
    for (const Choice& choice : choices_) {
        check(choice.finish_reason != nullptr, "a reply is written when every choice has finished");
        Json message = {{"role", "assistant"}};
        const bool is_calls_only = choice.content.empty() && !choice.calls.empty();
        message["content"] = is_calls_only ? Json(nullptr) : Json(choice.content);
        message["refusal"] = nullptr;
        if (!choice.reasoning.empty()) message["reasoning_content"] = choice.reasoning;
        for (const Call& call : choice.calls)
            message["tool_calls"].push_back(
                {{"id", call.id},
                 {"type", "function"},
                 {"function", {{"name", call.name}, {"arguments", call.arguments}}}});
        choices.push_back({{"index", choices.size()},
                           {"message", std::move(message)},
                           {"logprobs", has_logprobs_ ? chat_logprobs(tokenizer_, choice.logprobs)
                                                      : Json(nullptr)},
                           {"finish_reason", choice.finish_reason}});
    }
    Json json = head_.json("chat.completion");
    json["choices"] = std::move(choices);
    add_figures(json, total_usage(usages_, static_cast<int>(choices_.size())));
    return json_text(json);
}

}  // namespace baltoro::server
