#include "device/gpu_scratch_sizes.h"

#include <algorithm>
#include <bit>

#include "base/float_formats.h"
#include "gpu_kernels/kernels.h"

namespace baltoro::device {

int decode_splits(int n_tokens) noexcept {
    static_assert(std::has_single_bit(unsigned{gpu::MlaDecode::kMaxSplits}));
    const int n_splits = gpu::MlaDecode::max_splits(n_tokens);
    return static_cast<int>(std::bit_ceil(static_cast<unsigned>(std::max(n_splits, 1))));
}

GpuScratchSizes gpu_scratch_sizes(const GpuStepShapes& shapes) noexcept {
    const auto size = [](int n) { return static_cast<std::size_t>(n); };
    const MlaShapes& mla = shapes.mla;
    const std::size_t rows = size(shapes.max_rows);
    const std::size_t row_heads = rows * size(mla.n_heads);
    const std::size_t slab = size(std::min(kSlabTokens, shapes.max_tokens));
    const int n_splits = decode_splits(shapes.max_tokens);
    const std::size_t row_partials =
        size(n_splits) * size(mla.n_heads) * size(mla.kv_lora_rank) * sizeof(float);
    // Short contexts fill a group with many rows, long ones with few.
    const std::size_t partials =
        std::max(row_partials, std::min(kPartialBytes, rows * row_partials));
    const std::size_t ffn = rows * size(shapes.ffn_size);

    GpuScratchSizes sizes;
    sizes.queries = row_heads * size(mla.latent_dim()) * sizeof(bf16_t);
    sizes.contexts = row_heads * size(mla.kv_lora_rank) * sizeof(bf16_t);
    sizes.partials = partials;
    sizes.extrema = partials / size(mla.kv_lora_rank) * 2;
    sizes.kv_b = size(mla.n_heads) * size(mla.qk_nope_head_dim + mla.v_head_dim) *
                 size(mla.kv_lora_rank) * sizeof(bf16_t);
    sizes.latents = slab * size(mla.kv_lora_rank) * sizeof(bf16_t);
    sizes.rope_keys = slab * size(mla.qk_rope_head_dim) * sizeof(bf16_t);
    sizes.keys_values =
        slab * size(mla.n_heads) * size(mla.qk_nope_head_dim + mla.v_head_dim) * sizeof(bf16_t);
    sizes.sums = row_heads * size(mla.v_head_dim) * sizeof(float);
    const int n_pages = (shapes.max_tokens + kPageTokens - 1) / kPageTokens;
    sizes.tables = rows * size(3 + n_pages) * sizeof(std::int32_t);
    sizes.looked_up_rows = rows * size(shapes.hidden_size) * sizeof(bf16_t);
    sizes.ids = rows * sizeof(std::int32_t);
    sizes.panel = shapes.largest_weight * sizeof(bf16_t);
    sizes.gate = ffn * sizeof(float);
    sizes.up = ffn * sizeof(float);
    sizes.hidden = ffn * sizeof(bf16_t);
    sizes.logits = rows * size(shapes.n_experts) * sizeof(float);
    const std::size_t n_choices = rows * size(shapes.experts_per_row);
    sizes.chosen_ids = n_choices * sizeof(std::int32_t);
    sizes.chosen_gains = n_choices * sizeof(float);
    sizes.resident_hidden = n_choices * size(shapes.resident_ffn_size) * sizeof(bf16_t);
    return sizes;
}

}  // namespace baltoro::device
