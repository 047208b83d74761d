#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "base/random.h"
#include "sampling/sampling_options.h"
#include "sampling/seen_tokens.h"
#include "sampling/token_mask.h"

namespace baltoro {

// Draws tokens from logits; owns its random state, what the answer holds so far and scratch (sized
// at construction, so that drawing allocates nothing; about 20 bytes per token of the vocabulary).
// Serves one answer after another. One owner, one thread.
class Sampler {
  public:
    // Throws Error as reset does.
    Sampler(const SamplingOptions& options, int vocab_size);

    // Starts another answer: forgets the tokens seen and seeds again. Throws Error if an option is
    // out of range or logit_bias names an id outside the vocabulary; the sampler is then unchanged.
    void reset(const SamplingOptions& options);

    // The prompt's tokens, for repetition_penalty. Precondition: ids are in the vocabulary.
    void note_prompt(std::span<const std::int32_t> ids) noexcept;

    // A token that became part of the answer, drawn or forced. Precondition: it is in the
    // vocabulary.
    void accept(std::int32_t id) noexcept;

    // The next token; logits f32 [vocab_size], and if `allowed` is given only tokens that it
    // allows. NaN logits are never drawn; if all are NaN or -inf, the lowest allowed token is
    // returned, and token 0 if none is allowed.
    std::int32_t draw(std::span<const float> logits, const TokenMask* allowed = nullptr);

    // Log-probabilities are those under these logits from now on, as if a token had been drawn.
    void look_at(std::span<const float> logits) noexcept;

    // Log-probabilities under the logits of the last draw as the model gave them: before penalties,
    // bias, mask and temperature, as OpenAI-compatible servers report them. -inf for NaN.
    // Preconditions: a token was drawn since construction and its logits are still in place.
    float logprob_of(std::int32_t id) noexcept;

    // The n likeliest tokens (fewer if the rest have no probability), most likely first, lower ids
    // first on ties. Valid until the next call or draw. Allocates nothing for n <= kTopLogprobs.
    std::span<const std::pair<std::int32_t, float>> top_logprobs(std::size_t n);

    static constexpr std::size_t kTopLogprobs = 20;  // the OpenAI API's limit

  private:
    struct Candidate {
        float value;
        std::int32_t id;
    };
    static constexpr std::size_t kExponents = 80;  // minus a weight's binary exponent, and more

    // Larger values first, lower ids first on ties.
    static bool is_before(const Candidate& a, const Candidate& b) noexcept {
        return a.value > b.value || (a.value == b.value && a.id < b.id);
    }
    // Of the number's bits: weights are in [e^-50, 1], so this is in 0 to 73.
    static std::size_t exponent_of(float weight) noexcept {
        return std::min<std::size_t>(127 - (std::bit_cast<std::uint32_t>(weight) >> 23),
                                     kExponents - 1);
    }

    // The logits with penalties, bias and mask, in `changed_`.
    std::span<const float> change(std::span<const float> logits, const TokenMask* allowed) noexcept;
    void log_total() noexcept;

    // Each keeps some candidates at the front of `candidates_`; from `weigh` on their values are
    // weights relative to the largest.
    std::span<Candidate> take_top_k(std::span<const float> logits, std::size_t k) noexcept;
    std::span<Candidate> weigh(std::span<Candidate> candidates, float largest) noexcept;
    std::span<Candidate> take_top_p(std::span<Candidate> candidates) noexcept;
    std::int32_t draw_by_weight(std::span<const Candidate> candidates) noexcept;

    SamplingOptions options_;
    Random random_;
    std::size_t vocab_size_;
    std::vector<Candidate> candidates_;
    std::vector<float> changed_;
    SeenTokens seen_;
    bool has_penalties_ = false;
    std::span<const float> last_logits_;  // of the last draw or look; the caller's
    bool has_log_total_ = false;          // of last_logits_: most draws are not asked for it
    float largest_ = 0.0f;
    double log_total_ = 0.0;  // log of the sum of e^(logit - largest)
    std::vector<std::pair<std::int32_t, float>> top_;
};

}  // namespace baltoro
