#include "device/gpu_attention.h"

#include <algorithm>

#include "device/gpu_weight.h"

namespace baltoro::device {

GpuAttention::GpuAttention(GpuPlatform& platform, const std::function<void()>& drain)
    : platform_(platform),
      tables_(platform, drain),
      queries_(platform, drain),
      contexts_(platform, drain),
      partials_(platform, drain),
      extrema_(platform, drain),
      kv_b_(platform, drain),
      latents_(platform, drain),
      rope_keys_(platform, drain),
      keys_values_(platform, drain),
      sums_(platform, drain) {}

void GpuAttention::reserve(const GpuScratchSizes& sizes) {
    tables_.reserve(sizes.tables);
    queries_.get<std::byte>(sizes.queries);
    contexts_.get<std::byte>(sizes.contexts);
    partials_.get<std::byte>(sizes.partials);
    extrema_.get<std::byte>(sizes.extrema);
    kv_b_.get<std::byte>(sizes.kv_b);
    latents_.get<std::byte>(sizes.latents);
    rope_keys_.get<std::byte>(sizes.rope_keys);
    keys_values_.get<std::byte>(sizes.keys_values);
    sums_.get<std::byte>(sizes.sums);
}

int longest_context(std::span<const SequenceRows> sequences) noexcept {
    int longest = 0;
    for (const SequenceRows& sequence : sequences)
        longest = std::max(longest, sequence.first_position + sequence.n_rows);
    return longest;
}

void GpuAttention::write_latent(const WriteLatent& args) {
    const GpuStepTables::Tables tables = tables_.of(args.sequences);
    platform_.kernels().write_latent(
        platform_.stream(),
        {gpu_shapes(args.shapes), args.kv, args.gain, static_cast<float>(args.eps), args.rope,
         tables.slots, tables.n_rows, args.pages});
}

void GpuAttention::attend(const Attend& args, StepKind kind) {
    const GpuStepTables::Tables tables = tables_.of(args.sequences);
    if (kind == StepKind::decode) return attend_decode(args, tables);
    for (std::size_t s = 0; s < args.sequences.size(); s++)
        attend_prefill(args, tables, s);
}

// All rows of all sequences together, as far as the memory of their parts goes.
void GpuAttention::attend_decode(const Attend& args, const GpuStepTables::Tables& tables) {
    const int n_splits = decode_splits(longest_context(args.sequences));
    const std::size_t row_bytes =
        static_cast<std::size_t>(n_splits) * static_cast<std::size_t>(args.shapes.n_heads) *
        static_cast<std::size_t>(args.shapes.kv_lora_rank) * sizeof(float);
    const int group = static_cast<int>(std::clamp<std::size_t>(
        kPartialBytes / row_bytes, 1, static_cast<std::size_t>(tables.n_rows)));
    for (int first = 0; first < tables.n_rows; first += group)
        attend_group(args, tables, {first, std::min(group, tables.n_rows - first), n_splits});
}

void GpuAttention::attend_group(const Attend& args,
                                const GpuStepTables::Tables& tables,
                                const Rows& rows) {
    const gpu::Table& kernels = platform_.kernels();
    simt::Stream* stream = platform_.stream();
    const gpu::MlaShapes shapes = gpu_shapes(args.shapes);
    const auto first = static_cast<std::size_t>(rows.first);
    const auto n_heads = static_cast<std::size_t>(shapes.n_heads);
    const std::size_t row_heads = static_cast<std::size_t>(rows.n) * n_heads;
    const auto rank = static_cast<std::size_t>(shapes.kv_lora_rank);
    const std::size_t n_parts = row_heads * static_cast<std::size_t>(rows.n_splits);
    bf16_t* queries =
        queries_.get<bf16_t>(row_heads * static_cast<std::size_t>(args.shapes.latent_dim()));
    bf16_t* contexts = contexts_.get<bf16_t>(row_heads * rank);
    float* partials = partials_.get<float>(n_parts * rank);
    float* extrema = extrema_.get<float>(n_parts * 2);

    const float* q = args.q + first * n_heads * static_cast<std::size_t>(args.shapes.qk_head_dim());
    const float* rope = args.rope + first * static_cast<std::size_t>(shapes.qk_rope_head_dim);
    const gpu::DecodeRow* decode_rows = tables.rows + first;
    const gpu::Weight kv_b = gpu_weight(args.kv_b);
    kernels.absorb_queries(stream, {shapes, q, kv_b, rope, rows.n, queries});
    kernels.mla_decode(stream, {shapes, queries, decode_rows, tables.page_tables, args.pages,
                                args.scale, rows.n, rows.n_splits, partials, extrema});
    kernels.mla_combine(stream,
                        {shapes, decode_rows, partials, extrema, rows.n, rows.n_splits, contexts});
    kernels.project_values(
        stream, {shapes, contexts, kv_b, rows.n,
                 args.dst + first * n_heads * static_cast<std::size_t>(shapes.v_head_dim)});
}

void GpuAttention::attend_prefill(const Attend& args,
                                  const GpuStepTables::Tables& tables,
                                  std::size_t sequence_idx) {
    const gpu::Table& kernels = platform_.kernels();
    simt::Stream* stream = platform_.stream();
    const gpu::MlaShapes shapes = gpu_shapes(args.shapes);
    const SequenceRows& sequence = args.sequences[sequence_idx];
    const std::int32_t* page_table = tables.page_tables + tables.table_offsets[sequence_idx];
    const int n_tokens = sequence.first_position + sequence.n_rows;
    const auto n_heads = static_cast<std::size_t>(shapes.n_heads);
    const auto v_head_dim = static_cast<std::size_t>(shapes.v_head_dim);
    const std::size_t row_heads = static_cast<std::size_t>(sequence.n_rows) * n_heads;
    const auto slab = static_cast<std::size_t>(std::min(kSlabTokens, n_tokens));
    bf16_t* q =
        queries_.get<bf16_t>(row_heads * static_cast<std::size_t>(args.shapes.qk_head_dim()));
    bf16_t* latents = latents_.get<bf16_t>(slab * static_cast<std::size_t>(shapes.kv_lora_rank));
    bf16_t* rope_keys =
        rope_keys_.get<bf16_t>(slab * static_cast<std::size_t>(shapes.qk_rope_head_dim));
    bf16_t* keys_values = keys_values_.get<bf16_t>(slab * static_cast<std::size_t>(args.kv_b.n));
    float* sums = sums_.get<float>(row_heads * v_head_dim);
    float* extrema = extrema_.get<float>(row_heads * 2);
    const bf16_t* kv_b = expanded(platform_, args.kv_b, kv_b_);

    const auto first = static_cast<std::size_t>(sequence.first_row);
    kernels.rotate_queries(
        stream,
        {shapes, args.q + first * n_heads * static_cast<std::size_t>(args.shapes.qk_head_dim()),
         args.rope + first * static_cast<std::size_t>(shapes.qk_rope_head_dim), sequence.n_rows,
         q});
    for (int begin = 0; begin < n_tokens; begin += kSlabTokens) {
        const int n = std::min(kSlabTokens, n_tokens - begin);
        kernels.gather_latent(stream,
                              {shapes, args.pages, page_table, begin, n, latents, rope_keys});
        platform_.panel_product(
            {kv_b, latents, args.kv_b.n, args.kv_b.k, n, nullptr, keys_values, false});
        kernels.mla_prefill(
            stream, {shapes, q, keys_values, rope_keys, args.scale, sequence.n_rows,
                     sequence.first_position, begin, n, begin == 0, begin + n == n_tokens, sums,
                     extrema, args.dst + first * n_heads * v_head_dim});
    }
}

}  // namespace baltoro::device
