#include "server/openai_reply.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include <fmt/format.h>

#include "server/api_errors.h"

namespace baltoro::server {
namespace {

// JSON has no infinity; OpenAI's API gives this for tokens that are out of the question.
double printable_logprob(float logprob) {
    constexpr double kLeast = -9999.0;
    const double value = static_cast<double>(logprob);
    return value > kLeast ? value : kLeast;  // also for NaN
}

double per_second(int count, double seconds) {
    return seconds > 0.0 ? count / seconds : 0.0;
}

Json token_json(const Tokenizer& tokenizer, std::int32_t id, float logprob) {
    const std::string_view bytes = bytes_of(tokenizer, id);
    Json numbers = Json::array();
    for (const char byte : bytes)
        numbers.push_back(static_cast<unsigned char>(byte));
    return {{"token", std::string(bytes)},
            {"logprob", printable_logprob(logprob)},
            {"bytes", std::move(numbers)}};
}

std::size_t n_code_points(std::string_view bytes) {
    const auto starts = [](char byte) { return (static_cast<unsigned char>(byte) & 0xc0) != 0x80; };
    return static_cast<std::size_t>(std::count_if(bytes.begin(), bytes.end(), starts));
}

}  // namespace

Json ReplyHead::json(const char* object) const {
    Json head = {{"id", id}, {"object", object}, {"created", created_s}, {"model", model}};
    if (!system_fingerprint.empty()) head["system_fingerprint"] = system_fingerprint;
    return head;
}

std::string sse_data(std::string_view json) {
    return fmt::format("data: {}\n\n", json);
}

std::string openai_error_event(const std::string& message) {
    ApiError error;
    error.status = 500;
    error.type = "server_error";
    error.message = message;
    return sse_data(openai_error_body(error));
}

std::string prefill_comment(int n_prefilled, int n_prompt_tokens) {
    if (n_prompt_tokens == 0) return fmt::format(": prefill {}\n\n", n_prefilled);
    return fmt::format(": prefill {}/{}\n\n", n_prefilled, n_prompt_tokens);
}

AnswerUsage total_usage(const std::vector<AnswerUsage>& answers, int n_choices) {
    AnswerUsage total;
    for (std::size_t i = 0; i < answers.size(); i++) {
        const AnswerUsage& answer = answers[i];
        if (i % static_cast<std::size_t>(n_choices) == 0) {
            total.prompt_tokens += answer.prompt_tokens;
            total.cached_tokens += answer.cached_tokens;
            total.prefill_s += answer.prefill_s;
        }
        total.completion_tokens += answer.completion_tokens;
        total.reasoning_tokens += answer.reasoning_tokens;
        total.queue_s = std::max(total.queue_s, answer.queue_s);
        total.decode_s = std::max(total.decode_s, answer.decode_s);
    }
    return total;
}

Json usage_json(const AnswerUsage& usage) {
    return {{"prompt_tokens", usage.prompt_tokens},
            {"completion_tokens", usage.completion_tokens},
            {"total_tokens", usage.prompt_tokens + usage.completion_tokens},
            {"prompt_tokens_details", {{"cached_tokens", usage.cached_tokens}}},
            {"completion_tokens_details", {{"reasoning_tokens", usage.reasoning_tokens}}},
            {"cached_tokens", usage.cached_tokens}};
}

Json timings_json(const AnswerUsage& usage) {
    const int n_prefilled = usage.prompt_tokens - usage.cached_tokens;
    return {{"cache_n", usage.cached_tokens},
            {"prompt_n", n_prefilled},
            {"prompt_ms", usage.prefill_s * 1e3},
            {"prompt_per_second", per_second(n_prefilled, usage.prefill_s)},
            {"predicted_n", usage.completion_tokens},
            {"predicted_ms", usage.decode_s * 1e3},
            {"predicted_per_second", per_second(usage.completion_tokens, usage.decode_s)}};
}

void add_figures(Json& reply, const AnswerUsage& usage) {
    reply["usage"] = usage_json(usage);
    reply["timings"] = timings_json(usage);
}

std::string stream_end(const ReplyHead& head, const char* object, const AnswerUsage* usage) {
    std::string text;
    if (usage != nullptr) {
        Json json = head.json(object);
        json["choices"] = Json::array();
        add_figures(json, *usage);
        text = sse_data(json_text(json));
    }
    return text + "data: [DONE]\n\n";
}

std::string_view bytes_of(const Tokenizer& tokenizer, std::int32_t id) noexcept {
    return id >= 0 && id < tokenizer.vocab_size() ? tokenizer.token_bytes(id) : std::string_view();
}

Json chat_logprobs(const Tokenizer& tokenizer, const std::vector<TokenLogprob>& tokens) {
    Json content = Json::array();
    for (const TokenLogprob& token : tokens) {
        Json entry = token_json(tokenizer, token.id, token.logprob);
        Json top = Json::array();
        for (const auto& [id, logprob] : token.top)
            top.push_back(token_json(tokenizer, id, logprob));
        entry["top_logprobs"] = std::move(top);
        content.push_back(std::move(entry));
    }
    return {{"content", std::move(content)}, {"refusal", nullptr}};
}

Json completion_logprobs(const Tokenizer& tokenizer,
                         const std::vector<TokenLogprob>& tokens,
                         std::size_t& offset) {
    Json offsets = Json::array();
    Json logprobs = Json::array();
    Json texts = Json::array();
    Json tops = Json::array();
    for (const TokenLogprob& token : tokens) {
        const std::string text(bytes_of(tokenizer, token.id));
        const bool has_none = std::isnan(token.logprob);
        // The token itself is always among them, as in OpenAI's API.
        Json top = nullptr;
        if (!has_none) top = {{text, printable_logprob(token.logprob)}};
        for (const auto& [id, logprob] : token.top)
            top.emplace(std::string(bytes_of(tokenizer, id)), printable_logprob(logprob));
        offsets.push_back(offset);
        offset += n_code_points(text);
        logprobs.push_back(has_none ? Json(nullptr) : Json(printable_logprob(token.logprob)));
        texts.push_back(text);
        tops.push_back(std::move(top));
    }
    return {{"text_offset", std::move(offsets)},
            {"token_logprobs", std::move(logprobs)},
            {"tokens", std::move(texts)},
            {"top_logprobs", std::move(tops)}};
}

}  // namespace baltoro::server
