#pragma once

#include <cstdint>
#include <utility>
#include <vector>

namespace baltoro {

// How a token is drawn. Applied in this order: repetition_penalty, frequency_penalty and
// presence_penalty, logit_bias, top_k, temperature, min_p, top_p. A mask of allowed tokens comes
// after logit_bias, so that no bias brings back what it forbids.
struct SamplingOptions {
    double temperature = 0.6;  // 0: the largest logit, lowest id on ties
    double top_p = 1.0;        // smallest set of most likely tokens whose probability reaches it
    int top_k = 0;             // 0: all
    double min_p = 0.0;        // tokens below min_p x the largest probability are dropped
    std::uint64_t seed = 0;
    // Subtracted from the logit of a token that occurs in the answer so far: once, and as often as
    // it occurs. Both are of the OpenAI API.
    double presence_penalty = 0.0;   // -2 to 2
    double frequency_penalty = 0.0;  // -2 to 2
    // Of tokens that occur in the prompt or the answer, positive logits are divided by it and
    // negative ones multiplied.
    double repetition_penalty = 1.0;  // above 0, up to 10
    // Added to the logit of an id; -100 to 100.
    std::vector<std::pair<std::int32_t, float>> logit_bias{};
};

// Throws Error naming the option if a value is out of range or NaN. Whether the ids of logit_bias
// are in the vocabulary is Sampler's to check.
void check_sampling_options(const SamplingOptions& options);

}  // namespace baltoro
