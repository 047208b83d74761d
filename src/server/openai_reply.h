#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "engine/answer_stream.h"
#include "server/json_fields.h"
#include "text/tokenizer.h"

namespace baltoro::server {

// What every chunk of a reply and the whole reply begin with.
struct ReplyHead {
    std::string id;
    std::int64_t created_s = 0;
    std::string model;
    std::string system_fingerprint;  // left out if empty

    Json json(const char* object) const;
};

// "data: TEXT" as an event of its own; `json` has no line ends.
std::string sse_data(std::string_view json);

// The event that tells a client that its answer failed half-way.
std::string openai_error_event(const std::string& message);

// A comment that keeps the client waiting. n_prompt_tokens 0: unknown.
std::string prefill_comment(int n_prefilled, int n_prompt_tokens);

// Figures of all answers to one request, `n_choices` per prompt: prompts count once, and since the
// answers are written together the longest one's time counts.
AnswerUsage total_usage(const std::vector<AnswerUsage>& answers, int n_choices);

// The API's `usage`, with cached tokens also where Kimi's clients look for them.
Json usage_json(const AnswerUsage& usage);

// llama.cpp's `timings`, which several user interfaces show.
Json timings_json(const AnswerUsage& usage);

// `usage` and `timings` of a reply or of a stream's last chunk.
void add_figures(Json& reply, const AnswerUsage& usage);

// What ends a stream: a chunk with the figures, where they are asked for (null: they are not), and
// "[DONE]".
std::string stream_end(const ReplyHead& head, const char* object, const AnswerUsage* usage);

// Bytes of an id; empty for one that only the model knows (its vocabulary may be padded).
std::string_view bytes_of(const Tokenizer& tokenizer, std::int32_t id) noexcept;

// Chat: {"content": [{token, logprob, bytes, top_logprobs}], "refusal": null}.
Json chat_logprobs(const Tokenizer& tokenizer, const std::vector<TokenLogprob>& tokens);

// Completions: {text_offset, token_logprobs, tokens, top_logprobs}; null for a token whose
// log-probability is NaN, which has none. `offset` is the place of the
// first token in the text, in code points, and becomes that of the one after the last.
Json completion_logprobs(const Tokenizer& tokenizer,
                         const std::vector<TokenLogprob>& tokens,
                         std::size_t& offset);

}  // namespace baltoro::server
