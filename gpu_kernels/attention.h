#pragma once

#include <stdint.h>

#include "base/float_formats.h"
#include "gpu_kernels/weight.h"

// The contracts of latent attention; what kernels.h says of all kernels holds here too.

namespace baltoro::gpu {

constexpr int kPageTokens = 64;  // of the latent cache

// The shapes of multi-head latent attention (DeepSeek-V2, arXiv 2405.04434). All are multiples of
// 8 (the test checkpoints have 96, 32, 48 and 40); kv_lora_rank is at most 512, qk_rope_head_dim at
// most 64, the other two at most 128.
struct MlaShapes {
    int n_heads;
    int kv_lora_rank;
    int qk_nope_head_dim;
    int qk_rope_head_dim;
    int v_head_dim;
};

// Cache rows of new tokens: pages[slots[r]] = (RMSNorm(c; gain), rope(k_pe)).
//   kv     f32 [n_rows, kv_lora_rank + qk_rope_head_dim]: c, then the unrotated shared key
//   rope   f32 [n_rows, qk_rope_head_dim / 2, 2]: cosine and sine; pair i of a vector,
//          (x[2i], x[2i+1]), becomes (x[2i] cos - x[2i+1] sin, x[2i+1] cos + x[2i] sin)
//   slots  int32 [n_rows]: page * kPageTokens + offset within the page
//   pages  bf16 [n_pages, kPageTokens, kv_lora_rank + qk_rope_head_dim]
struct WriteLatent {
    MlaShapes shapes;
    const float* kv;
    const bf16_t* gain;
    float eps;
    const float* rope;
    const int32_t* slots;
    int n_rows;
    bf16_t* pages;
};

// dst[r, h] = (W_UK_h^T q_nope[r, h], rope(q_pe[r, h])): queries in the latent's space.
//   q     f32 [n_rows, n_heads, qk_nope_head_dim + qk_rope_head_dim], unrotated
//   kv_b  [n_heads (qk_nope_head_dim + v_head_dim), kv_lora_rank], bf16 or fp8_block: W_UK_h is
//   rows
//         h (nope + v) .. + nope
//   dst   bf16 [n_rows, n_heads, kv_lora_rank + qk_rope_head_dim]
// Row independence: yes.
struct AbsorbQueries {
    MlaShapes shapes;
    const float* q;
    Weight kv_b;
    const float* rope;
    int n_rows;
    bf16_t* dst;
};

// One query row of mla_decode: it sees positions [0, n_tokens) of its sequence, one at least.
struct DecodeRow {
    int32_t n_tokens;
    int32_t page_table;  // offset of its sequence's page table in `page_tables`
};

// Latent attention of every row over its own cache rows, in parts of equally many tokens, so that
// one row fills the GPU. Their number depends on the row's n_tokens alone: parts of
// kMinSplitTokens, or longer ones where more than kMaxSplits would be needed.
//   queries      bf16 [n_rows, n_heads, latent_dim] of absorb_queries
//   rows         DecodeRow [n_rows]     page_tables  int32
//   n_splits     at least max_splits(the longest row's n_tokens)
//   partials     f32 [n_rows, n_splits, n_heads, kv_lora_rank]: sums of exp2(score - max) c
//   extrema      f32 [n_rows, n_splits, n_heads, 2]: the maximum (of scores times log2 e) and the
//                sum of exp2(score - max); of both only the parts that are not empty are written
// Row independence: yes.
struct MlaDecode {
    static constexpr int kMaxSplits = 128;
    static constexpr int kMinSplitTokens = 128;
    // The most parts of any row that sees at most n_tokens.
    static constexpr int max_splits(int n_tokens) {
        const int n = (n_tokens + kMinSplitTokens - 1) / kMinSplitTokens;
        return n < kMaxSplits ? n : kMaxSplits;
    }
    MlaShapes shapes;
    const bf16_t* queries;
    const DecodeRow* rows;
    const int32_t* page_tables;
    const bf16_t* pages;
    float scale;  // of the scores
    int n_rows;
    int n_splits;
    float* partials;
    float* extrema;
};

// Merges the parts, in a fixed order: dst bf16 [n_rows, n_heads, kv_lora_rank].
// Row independence: yes.
struct MlaCombine {
    MlaShapes shapes;
    const DecodeRow* rows;
    const float* partials;
    const float* extrema;
    int n_rows;
    int n_splits;
    bf16_t* dst;
};

// dst[r, h] = W_UV_h context[r, h]; W_UV_h is rows h (nope + v) + nope .. + v of kv_b.
//   contexts bf16 [n_rows, n_heads, kv_lora_rank]     dst bf16 [n_rows, n_heads, v_head_dim]
// Row independence: yes.
struct ProjectValues {
    MlaShapes shapes;
    const bf16_t* contexts;
    Weight kv_b;
    int n_rows;
    bf16_t* dst;
};

// Cache rows of positions [first, first + n_tokens) of one sequence, made contiguous:
//   dst_latent bf16 [n_tokens, kv_lora_rank]     dst_rope_key bf16 [n_tokens, qk_rope_head_dim]
struct GatherLatent {
    MlaShapes shapes;
    const bf16_t* pages;
    const int32_t* page_table;  // of the sequence
    int first;
    int n_tokens;
    bf16_t* dst_latent;
    bf16_t* dst_rope_key;
};

// dst[r, h] = (q_nope, rope(q_pe)) as bf16.    q, rope as in AbsorbQueries
struct RotateQueries {
    MlaShapes shapes;
    const float* q;
    const float* rope;
    int n_rows;
    bf16_t* dst;
};

// Causal attention of consecutive tokens of one sequence over a slab of its context, with keys and
// values of every head (not absorbed), on tensor cores. Slabs follow one another; the state carries
// the running softmax from one to the next.
//   q         bf16 [n_rows, n_heads, nope + rope] of rotate_queries; row r stands at position
//             first_position + r
//   kv        bf16 [n_tokens, n_heads, nope + v]: kv_b times the latents of positions
//             [first_token, first_token + n_tokens)
//   rope_key  bf16 [n_tokens, qk_rope_head_dim]
//   scale     positive
//   sums      f32 [n_rows, n_heads, v_head_dim]; extrema f32 [n_rows, n_heads, 2]: read unless
//             is_first, written unless is_last
//   dst       bf16 [n_rows, n_heads, v_head_dim]: written if is_last
struct MlaPrefill {
    MlaShapes shapes;
    const bf16_t* q;
    const bf16_t* kv;
    const bf16_t* rope_key;
    float scale;
    int n_rows;
    int first_position;
    int first_token;
    int n_tokens;
    bool is_first;
    bool is_last;
    float* sums;
    float* extrema;
    bf16_t* dst;
};

}  // namespace baltoro::gpu
