#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "engine/answer_stream.h"
#include "engine/request.h"
#include "sampling/sampler.h"
#include "sampling/token_grammar.h"
#include "sampling/token_mask.h"

namespace baltoro {

// Draws the tokens of one answer after another, within what its request allows. Everything that a
// request says about the choice of a token is applied here. Engine thread only.
class TokenDrawer {
  public:
    // `stop_ids` are the tokens that end an answer.
    TokenDrawer(int vocab_size, std::span<const std::int32_t> stop_ids);

    // Starts another answer. Throws Error as Sampler::reset does.
    void start(const Request& request, std::span<const std::int32_t> prompt);

    // The next token. A grammar holds for content alone. Preconditions: logits f32 [vocab_size].
    std::int32_t draw(std::span<const float> logits, bool may_stop, bool is_content);

    // A token that became part of the answer, drawn or forced.
    void accept(std::int32_t id, bool is_content) noexcept;

    // Of the token just drawn, with the `n_top` likeliest ones.
    TokenLogprob logprob_of(std::int32_t id, int n_top);

  private:
    std::vector<std::int32_t> stop_ids_;
    std::vector<std::int32_t> banned_ids_;
    Sampler sampler_;
    TokenMask mask_;
    std::unique_ptr<GrammarState> grammar_;  // of answers that have one
};

}  // namespace baltoro
