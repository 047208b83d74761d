#pragma once

#include <cstdint>
#include <span>
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
    SamplingOptions options_;
    Random random_;
    std::vector<Candidate> candidates_;
};

}  // namespace baltoro
