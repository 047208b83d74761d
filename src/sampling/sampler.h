#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "base/random.h"

namespace baltoro {

// How a token is drawn. Applied in this order: top_k, temperature, min_p, top_p.
struct SamplingOptions {
    double temperature = 0.6;  // 0: the largest logit, lowest id on ties
    double top_p = 1.0;        // smallest set of most likely tokens whose probability reaches it
    int top_k = 0;             // 0: all
    double min_p = 0.0;        // tokens below min_p x the largest probability are dropped
    std::uint64_t seed = 0;
    double presence_penalty = 0.0;    // -2 to 2; 0: none
    double frequency_penalty = 0.0;   // -2 to 2; 0: none
    double repetition_penalty = 1.0;  // above 0, up to 10; 1: none
    std::vector<std::pair<std::int32_t, float>>
        logit_bias{};  // -100 to 100, added to an id's logit
};

// Throws Error naming the option if a value is out of range or NaN.
void check_sampling_options(const SamplingOptions& options);

// Draws tokens from logits; owns its random state and scratch (sized at construction, so that
// drawing allocates nothing). One owner, one thread.
class Sampler {
  public:
    Sampler(const SamplingOptions& options, int vocab_size);

    // The next token; logits f32 [vocab_size]. NaN logits are never drawn; if all are NaN or -inf,
    // token 0 is returned.
    std::int32_t draw(std::span<const float> logits);

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

    // Each keeps some candidates at the front of `candidates_`; from `weigh` on their values are
    // weights relative to the largest.
    std::span<Candidate> take_top_k(std::span<const float> logits) noexcept;
    std::span<Candidate> weigh(std::span<Candidate> candidates, float largest) noexcept;
    std::span<Candidate> take_top_p(std::span<Candidate> candidates) noexcept;
    std::int32_t draw_by_weight(std::span<const Candidate> candidates) noexcept;

    SamplingOptions options_;
    Random random_;
    std::size_t vocab_size_;
    std::vector<Candidate> candidates_;
};

}  // namespace baltoro
