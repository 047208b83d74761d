#pragma once

#include <cstddef>

#include "device/device.h"

namespace baltoro::device {

// What the scratch memory of a GPU depends on.
struct GpuStepShapes {
    MlaShapes mla;
    int max_rows = 0;    // of a step
    int max_tokens = 0;  // that one row sees
    int ffn_size = 0;    // of the widest FFN on the device
    int n_experts = 0;   // routed
    int hidden_size = 0;
    int experts_per_row = 0;
    int resident_ffn_size = 0;       // of routed experts on the device; 0: there are none
    std::size_t largest_weight = 0;  // elements of the largest block-fp8 matrix
};

// Bytes of each scratch buffer for the largest step.
struct GpuScratchSizes {
    // of attention
    std::size_t queries = 0;
    std::size_t contexts = 0;
    std::size_t partials = 0;
    std::size_t extrema = 0;
    std::size_t kv_b = 0;
    std::size_t latents = 0;
    std::size_t rope_keys = 0;
    std::size_t keys_values = 0;
    std::size_t sums = 0;
    std::size_t tables = 0;  // of one list of sequences; there are two
    // of everything else
    std::size_t looked_up_rows = 0;
    std::size_t ids = 0;
    std::size_t panel = 0;
    std::size_t gate = 0;
    std::size_t up = 0;
    std::size_t hidden = 0;
    std::size_t logits = 0;
    std::size_t chosen_ids = 0;
    std::size_t chosen_gains = 0;
    std::size_t resident_hidden = 0;

    std::size_t total() const noexcept {
        return queries + contexts + partials + extrema + kv_b + latents + rope_keys + keys_values +
               sums + 2 * tables + looked_up_rows + ids + panel + gate + up + hidden + logits +
               chosen_ids + chosen_gains + resident_hidden;
    }
};

// Into how many parts the contexts of a decode step are split where the longest has that many
// tokens: at least as many as any row has, and a power of two, so that few numbers occur.
int decode_splits(int n_tokens) noexcept;

GpuScratchSizes gpu_scratch_sizes(const GpuStepShapes& shapes) noexcept;

// Tokens of a prefill whose keys and values of every head are held at a time.
constexpr int kSlabTokens = 4096;
// Most memory of the parts of split contexts, but for one row at least; rows are taken in groups
// that fit.
constexpr std::size_t kPartialBytes = std::size_t{256} << 20;

}  // namespace baltoro::device
