#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "sampling/sampler.h"
#include "text/answer_parser.h"

namespace baltoro {

class TokenGrammar;

// How the answer's tokens become text.
enum class AnswerKind : std::uint8_t {
    chat,  // content, reasoning and tool calls, told apart by markers
    text,  // everything is content; special tokens are left out
};

// A tool whose calls' arguments follow its schema.
struct StrictTool {
    std::string name;
    std::shared_ptr<const TokenGrammar> arguments;  // its stop is the end of a call
};

// One answer to be written, in terms that every dialect shares. Plain data; the engine takes it
// over.
struct Request {
    std::vector<std::int32_t> prompt;  // not empty, within the context
    std::vector<std::int32_t> forced;  // the answer's first tokens, given instead of drawn
    SamplingOptions sampling;
    int max_tokens = 0;  // 0: until a stop or the end of the context; larger is clamped
    int min_tokens = 0;  // stop tokens are not drawn before
    bool ignore_eos = false;
    std::vector<std::string> stop;         // texts that end the content and are not part of it
    std::vector<std::int32_t> banned_ids;  // never drawn
    bool one_call_only = false;            // ends after the first complete tool call
    int n_top_logprobs = -1;               // -1: none; 0: of the drawn token only
    bool scores_prompt = false;            // log-probabilities of the prompt's tokens, too
    bool prompt_only = false;              // the answer has no tokens
    AnswerKind kind = AnswerKind::chat;
    AnswerFormat format;
    std::shared_ptr<const TokenGrammar> grammar;  // of the content; may be null
    std::vector<StrictTool> strict_tools;
};

}  // namespace baltoro
