#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "engine/answer_stream.h"
#include "server/api_request.h"
#include "server/openai_reply.h"
#include "text/tokenizer.h"

namespace baltoro::server {

// The answers of POST /v1/completions; an AnswerWriter whose choices are all answers of all prompts
// (see parse_completions_request). One coroutine.
class CompletionsWriter {
  public:
    // The tokenizer must outlive the writer.
    CompletionsWriter(const ApiRequest& request,
                      std::string id,
                      std::int64_t created_s,
                      const Tokenizer& tokenizer);

    std::string open();
    std::string add(int choice_idx, AnswerEvents events);
    std::string heartbeat(double silent_s);
    std::string close();
    std::string body();

  private:
    struct Choice {
        std::string text;
        std::vector<TokenLogprob> logprobs;  // streaming: those that wait for a chunk
        std::size_t logprob_offset = 0;      // of the first of them
        bool owes_prompt = false;            // streaming: it goes with its log-probabilities
        const char* finish_reason = nullptr;
    };

    // The next chunk of a choice; with its timings once it has finished.
    std::string send(int choice_idx, const std::string& text);

    ReplyHead head_;
    const Tokenizer& tokenizer_;
    bool is_stream_;
    bool include_usage_;
    bool has_logprobs_;
    bool scores_prompt_;
    int n_per_prompt_;
    int n_prefilled_ = 0;
    bool has_failed_ = false;
    std::vector<Choice> choices_;  // with echo, each begins with its prompt
    std::vector<AnswerUsage> usages_;
};

}  // namespace baltoro::server
