#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "model/config.h"
#include "weights/checkpoint.h"

namespace baltoro {

// What the reference model gives for T tokens.
struct ReferenceOutput {
    std::vector<float> logits;                 // [T, vocab_size]
    std::vector<float> hidden;                 // [num_hidden_layers, T, hidden_size], after each
    std::vector<std::int32_t> routed_experts;  // [MoE layers, T, num_experts_per_tok], ascending
};

// The whole model in double precision with plain loops, as the formulas of the DeepSeek-V3 paper
// stand: keys and values are computed for every position, nothing is absorbed, cached or rounded.
// Uses every core and about T * (16 * vocab_size + 8 * layers * hidden_size) bytes. Throws Error
// for a token outside the vocabulary and for tensors that are missing or have another shape.
ReferenceOutput run_reference(const ModelConfig& config,
                              const Checkpoint& checkpoint,
                              std::span<const std::int32_t> tokens);

}  // namespace baltoro
