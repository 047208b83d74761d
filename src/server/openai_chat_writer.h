#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/answer_stream.h"
#include "server/api_request.h"
#include "server/openai_reply.h"
#include "text/tokenizer.h"

namespace baltoro::server {

// The answer of POST /v1/chat/completions; an AnswerWriter. One coroutine. Streaming and whole
// replies come from the same steps, so they say the same.
class ChatWriter {
  public:
    // `request` is rendered: its prompt's size is what heartbeats count up to. The tokenizer must
    // outlive the writer.
    ChatWriter(const ApiRequest& request,
               std::string id,
               std::int64_t created_s,
               const Tokenizer& tokenizer);

    std::string open();
    std::string add(int choice_idx, AnswerEvents events);
    std::string heartbeat(double silent_s);
    std::string close();
    std::string body();

  private:
    struct Call {
        std::string id;
        std::string name;
        std::string arguments;
    };
    struct Choice {
        std::string content;
        std::string reasoning;
        std::vector<Call> calls;
        int n_complete_calls = 0;
        std::vector<TokenLogprob> logprobs;  // streaming: those that wait for a chunk
        const char* finish_reason = nullptr;
    };
    struct Chunk;  // a choice's part of a chunk, as JSON

    std::string add_part(int choice_idx, AnswerPart&& part);
    std::string begin_call(int choice_idx, AnswerPart&& part);
    std::string add_arguments(int choice_idx, const std::string& text);
    std::string end_call(int choice_idx, const AnswerPart& part);
    std::string finish(int choice_idx, const AnswerEvents& events);
    std::string call_id(const Choice& choice, const AnswerPart& part) const;
    std::string send(Chunk&& chunk);

    ReplyHead head_;
    const Tokenizer& tokenizer_;
    bool is_stream_;
    bool include_usage_;
    bool has_logprobs_;
    int n_past_calls_;
    int n_prompt_tokens_;
    int n_prefilled_ = 0;
    bool has_content_ = false;
    bool has_failed_ = false;
    std::vector<Choice> choices_;
    std::vector<AnswerUsage> usages_;
};

}  // namespace baltoro::server
