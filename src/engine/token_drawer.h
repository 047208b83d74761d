#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "engine/answer_stream.h"
#include "engine/request.h"
#include "sampling/sampler.h"
#include "sampling/token_grammar.h"
#include "sampling/token_mask.h"

namespace baltoro {

// What the next token of an answer is part of.
struct TokenPlace {
    bool is_content = true;   // neither reasoning nor part of a tool call
    std::string_view tool{};  // whose arguments it is part of; empty elsewhere
};

// Draws the tokens of one answer after another, within what its request allows. Everything that a
// request says about the choice of a token is applied here. Engine thread only.
class TokenDrawer {
  public:
    // `stop_ids` are the tokens that end an answer.
    TokenDrawer(int vocab_size, std::span<const std::int32_t> stop_ids);

    // Starts another answer. Throws Error as Sampler::reset does.
    void start(const Request& request, std::span<const std::int32_t> prompt);

    // The next token. The request's grammar holds for content, a strict tool's for each of its
    // calls. Allocates where the call of another strict tool than the last one's begins.
    // Preconditions: logits f32 [vocab_size].
    std::int32_t draw(std::span<const float> logits, bool may_stop, const TokenPlace& place);

    // A token that became part of the answer: the one just drawn, or one that was forced before any
    // was drawn.
    void accept(std::int32_t id) noexcept;

    // Of the token just drawn, with the `n_top` likeliest ones.
    TokenLogprob logprob_of(std::int32_t id, int n_top);

    // Of a token of the prompt, under the logits [vocab_size] of the token before it.
    TokenLogprob score(std::span<const float> logits, std::int32_t id, int n_top);

  private:
    // Of a place, if it has one.
    GrammarState* grammar_at(const TokenPlace& place);

    std::vector<std::int32_t> stop_ids_;
    std::vector<std::int32_t> banned_ids_;
    Sampler sampler_;
    TokenMask mask_;
    std::unique_ptr<GrammarState> content_;  // of answers that have a grammar
    std::vector<StrictTool> strict_tools_;
    const StrictTool* called_ = nullptr;  // whose grammar `call_` is
    std::unique_ptr<GrammarState> call_;  // one, for it takes megabytes
    GrammarState* grammar_ = nullptr;     // of the token just drawn
};

}  // namespace baltoro
