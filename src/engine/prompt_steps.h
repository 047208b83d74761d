#pragma once

#include <algorithm>

#include "device/device.h"

namespace baltoro {

// How a prompt is computed: the one rule for Session and Scheduler. A prefix that is found in the
// KV cache must have the bits of a cold run, so the rule looks at the prompt's length and at
// nothing that was computed before.

// Prompts of fewer tokens are faster by steps of kind decode (measured: README.md). Whoever goes on
// after one computes it again.
constexpr int kShortestPrefill = 160;

// The tokens of a prompt that steps of kind prefill compute: all or none. The answer and the other
// prompts are computed by steps of kind decode.
constexpr int n_prefill_tokens(int n_prompt) noexcept {
    return n_prompt >= kShortestPrefill ? n_prompt : 0;
}

constexpr StepKind prompt_kind(int n_prompt) noexcept {
    return n_prefill_tokens(n_prompt) > 0 ? StepKind::prefill : StepKind::decode;
}

// Where a step of at most `max_rows` rows that begins at `n_computed` ends. Steps may be cut
// anywhere, since a row's bits do not depend on the rows beside it.
constexpr int prompt_step_end(int n_computed, int n_prompt, int max_rows) noexcept {
    return std::min(n_prompt, n_computed + max_rows);
}

}  // namespace baltoro
