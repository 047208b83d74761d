#include "server/openai_completions_writer.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "base/check.h"
#include "server/answer_writer.h"
#include "server/json_fields.h"

namespace baltoro::server {
namespace {

constexpr const char* kObject = "text_completion";  // of chunks, too

std::string prompt_text(const ApiRequest& request, std::size_t i, const Tokenizer& tokenizer) {
    if (request.input == ApiRequest::Input::text) return request.texts[i];
    std::string text;
    for (const std::int32_t id : request.tokens[i])
        text += bytes_of(tokenizer, id);
    return text;
}

}  // namespace

static_assert(AnswerWriter<CompletionsWriter>);

CompletionsWriter::CompletionsWriter(const ApiRequest& request,
                                     std::string id,
                                     std::int64_t created_s,
                                     const Tokenizer& tokenizer)
    : head_{std::move(id), created_s, request.model, request.system_fingerprint},
      tokenizer_(tokenizer),
      is_stream_(request.stream),
      include_usage_(request.include_usage),
      has_logprobs_(request.request.n_top_logprobs >= 0),
      scores_prompt_(request.request.scores_prompt),
      n_per_prompt_(request.n) {
    const std::size_t n_prompts = std::max(request.texts.size(), request.tokens.size());
    const auto n_choices = static_cast<std::size_t>(request.n);
    choices_.resize(n_prompts * n_choices);
    usages_.resize(choices_.size());
    for (std::size_t i = 0; request.echo && i < choices_.size(); i++) {
        choices_[i].text = prompt_text(request, i / n_choices, tokenizer);
        choices_[i].owes_prompt = scores_prompt_;
    }
}

std::string CompletionsWriter::open() {
    std::string text;
    for (std::size_t i = 0; i < choices_.size(); i++) {
        if (!choices_[i].text.empty() && !choices_[i].owes_prompt)
            text += send(static_cast<int>(i), choices_[i].text);
    }
    return text;
}

std::string CompletionsWriter::add(int choice_idx, AnswerEvents events) {
    if (has_failed_) return {};
    if (!events.error.empty()) {
        has_failed_ = true;
        return openai_error_event(events.error);
    }
    n_prefilled_ = std::max(n_prefilled_, events.prefilled_tokens);
    const auto i = static_cast<std::size_t>(choice_idx);
    Choice& choice = choices_.at(i);
    for (std::vector<TokenLogprob>* logprobs : {&events.prompt_logprobs, &events.logprobs})
        if (has_logprobs_)
            std::move(logprobs->begin(), logprobs->end(), std::back_inserter(choice.logprobs));
    std::string text;
    for (const AnswerPart& part : events.parts) {
        if (part.kind == AnswerPart::Kind::content) text += part.text;
    }
    choice.text += text;
    if (events.is_finished) {
        choice.finish_reason = events.reason == FinishReason::stop ? "stop" : "length";
        usages_[i] = events.usage;
    }
    if (text.empty() && !events.is_finished) return {};
    return send(choice_idx, std::exchange(choice.owes_prompt, false) ? choice.text : text);
}

std::string CompletionsWriter::send(int choice_idx, const std::string& text) {
    if (!is_stream_) return {};
    Choice& choice = choices_[static_cast<std::size_t>(choice_idx)];
    Json logprobs = nullptr;
    if (!choice.logprobs.empty()) {
        logprobs = completion_logprobs(tokenizer_, choice.logprobs, choice.logprob_offset);
        choice.logprobs.clear();
    }
    const bool is_finished = choice.finish_reason != nullptr;
    Json json = head_.json(kObject);
    json["choices"] = Json::array();
    json["choices"].push_back(
        {{"index", choice_idx},
         {"text", text},
         {"logprobs", std::move(logprobs)},
         {"finish_reason", is_finished ? Json(choice.finish_reason) : Json(nullptr)}});
    if (is_finished) json["timings"] = timings_json(usages_[static_cast<std::size_t>(choice_idx)]);
    return sse_data(json_text(json));
}

std::string CompletionsWriter::heartbeat(double /*silent_s*/) {
    return prefill_comment(n_prefilled_, 0);  // the prompts may be many
}

std::string CompletionsWriter::close() {
    if (has_failed_) return {};  // the error was the last event
    const AnswerUsage usage = total_usage(usages_, n_per_prompt_);
    return stream_end(head_, kObject, include_usage_ ? &usage : nullptr);
}

std::string CompletionsWriter::body() {
    Json json = head_.json(kObject);
    json["choices"] = Json::array();
    for (Choice& choice : choices_) {
        check(choice.finish_reason != nullptr, "a reply is written when every choice has finished");
        std::size_t offset = choice.logprob_offset;
        Json logprobs = has_logprobs_ ? completion_logprobs(tokenizer_, choice.logprobs, offset)
                                      : Json(nullptr);
        json["choices"].push_back({{"index", json["choices"].size()},
                                   {"text", choice.text},
                                   {"logprobs", std::move(logprobs)},
                                   {"finish_reason", choice.finish_reason}});
    }
    add_figures(json, total_usage(usages_, n_per_prompt_));
    return json_text(json);
}

}  // namespace baltoro::server
