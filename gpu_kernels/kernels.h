#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/float_formats.h"
#include "gpu_kernels/simt/types.h"

// The contracts of the GPU kernels. All pointers are device memory unless a comment says shared
// (mapped for the host too); arrays are row-major, outermost dimension first, contiguous unless a
// stride is given, and 16-byte aligned. A launch queues the kernel and returns; nothing allocates.
// Row independence: where a comment says so, a row's bits do not depend on the other rows.

namespace baltoro::gpu {

constexpr int kPageTokens = 64;   // of the latent cache
constexpr int kScaleBlock = 128;  // weights that share one scale, in both dimensions
constexpr int kMaxRows = 16;      // rows that share one pass over a weight in `row_product`

enum class WeightFormat : uint8_t { bf16, fp8_block, f32 };

// A weight matrix [n, k]; e4m3 has f32 scales [ceil(n / 128), ceil(k / 128)], multiplied.
struct Weight {
    const void* data;
    const float* scale;  // null unless fp8_block
    int n;
    int k;
    WeightFormat format;
};

// dst[r, :] = table[ids[r], :]      table bf16 or f32 [vocab, n]   ids int32 [n_rows]   dst f32
struct Embed {
    Weight table;
    const int32_t* ids;
    int n_rows;
    float* dst;
};

// x[r] += addend[r] where addend is given; then dst[r, i] = gain[i] x[r, i] / sqrt(mean(x[r]^2) +
// eps).
//   x        f32 [n_rows, n], rows `x_stride` elements apart; written only where addend is given
//   addend   f32 [n_rows, n] or null; gain bf16 [n]
//   dst_f32, dst_bf16  [n_rows, n], either may be null
// One block per row. Row independence: yes.
struct RmsNorm {
    float* x;
    int64_t x_stride;
    const float* addend;
    const bf16_t* gain;
    float eps;
    int n_rows;
    int n;
    float* dst_f32;
    bf16_t* dst_bf16;
};

// dst[r, i] (+)= sum_j x[r, j] w[i, j], for few rows: reads the weight once per kMaxRows rows.
//   w    any format; k a multiple of 16
//   x    bf16 [n_rows, k] or, if x_f32 is given, f32 [n_rows, k]
//   dst  f32 [n_rows, n]
// Row independence: yes.
struct RowProduct {
    Weight w;
    const bf16_t* x;
    const float* x_f32;
    int n_rows;
    float* dst;
    bool accumulate;
};

// dst[r, i] = silu(sum_j x[r, j] gate[i, j]) * (sum_j x[r, j] up[i, j]), as row_product.
//   gate, up  of one shape and format;   dst  bf16 [n_rows, n]
// Row independence: yes.
struct GatedRowProduct {
    Weight gate;
    Weight up;
    const bf16_t* x;
    int n_rows;
    bf16_t* dst;
};

// dst[i, j] = bf16(w[i, j] * scale), for w in fp8_block or f32.     dst bf16 [n, k]
//   n k < 2^35
struct Dequantise {
    Weight w;
    bf16_t* dst;
};

// dst[r, i] (+)= sum_j x[r, j] w[i, j] for many rows, on tensor cores.
//   w    bf16 [n, k], k a multiple of 8;   x  bf16 [n_rows, k]
//   dst  f32 or, if dst_bf16 is given, bf16 [n_rows, n]; accumulate only with f32
// Any n up to 65535 * 128, any n_rows. Row independence: yes.
struct PanelProduct {
    const bf16_t* w;
    const bf16_t* x;
    int n;
    int k;
    int n_rows;
    float* dst;
    bf16_t* dst_bf16;
    bool accumulate;
};

// dst[i] = silu(gate[i]) * up[i], f32 -> bf16
struct SiluMul {
    const float* gate;
    const float* up;
    int64_t n;
    bf16_t* dst;
};

// dst[i] += src[i]
struct Add {
    const float* src;
    float* dst;
    int64_t n;
};

// The noaux_tc choice of experts (DeepSeek-V3, arXiv 2412.19437, 2.1.2), from logits:
// s = sigmoid(logit); chosen by s + bias within the topk_group groups whose two best choices sum
// highest; ties go to the lower index; gain = s, normalised to sum 1 if norm_topk_prob, times
// scaling_factor. A NaN logit is never chosen before a number.
//   logits  f32 [n_rows, n_experts], n_experts <= 1024     bias f32 [n_experts]
//   ids     int32 [n_rows, top_k], best first; gains f32 likewise; top_k <= 32; both may be shared
// Row independence: yes.
struct ChooseExperts {
    const float* logits;
    const float* bias;
    int n_rows;
    int n_experts;
    int top_k;
    int n_group;
    int topk_group;
    bool norm_topk_prob;
    float scaling_factor;
    int32_t* ids;
    float* gains;
    int32_t* device_ids;  // the same once more, or null
    float* device_gains;
};

// Where the parts of a slot begin, in bytes; each at a multiple of 256.
struct ExpertSlotLayout {
    int64_t gate, up, down, gate_scale, up_scale, down_scale, size;
};

constexpr ExpertSlotLayout expert_slot_layout(int hidden_size,
                                              int moe_intermediate_size,
                                              WeightFormat format) {
    const int64_t width = format == WeightFormat::fp8_block ? 1
                          : format == WeightFormat::bf16    ? 2
                                                            : 4;
    const int64_t blocks = static_cast<int64_t>((hidden_size + kScaleBlock - 1) / kScaleBlock) *
                           ((moe_intermediate_size + kScaleBlock - 1) / kScaleBlock);
    const auto padded = [](int64_t n) { return (n + 255) / 256 * 256; };
    const int64_t matrix = padded(width * hidden_size * moe_intermediate_size);
    const int64_t scales = format == WeightFormat::fp8_block ? padded(blocks * 4) : 0;
    return {0,
            matrix,
            2 * matrix,
            3 * matrix,
            3 * matrix + scales,
            3 * matrix + 2 * scales,
            3 * matrix + 3 * scales};
}

// Routed experts of one layer that live on the GPU. Slot s, at slots + s * layout.size, holds gate
// and up [moe_intermediate_size, hidden_size] and down [hidden_size, moe_intermediate_size], then
// their scales in the same order where the format has them.
struct ResidentExperts {
    const char* slots;
    ExpertSlotLayout layout;
    const int32_t* slot_of;  // int32 [n_experts]; -1: lives elsewhere
    int hidden_size;
    int moe_intermediate_size;
    WeightFormat format;
};

// dst[r, c] = silu(gate x[r]) * (up x[r]) of the expert ids[r, c], where it lives on the GPU.
//   x bf16 [n_rows, hidden_size]     ids int32 [n_rows, top_k]
//   dst bf16 [n_rows, top_k, moe_intermediate_size]; other experts' parts are left alone
// Row independence: yes.
struct ResidentGateUp {
    ResidentExperts experts;
    const bf16_t* x;
    const int32_t* ids;
    int n_rows;
    int top_k;
    bf16_t* dst;
};

// dst[r] += sum over c, in order, of gains[r, c] * down(hidden[r, c]), for experts on the GPU.
//   hidden as ResidentGateUp::dst     dst f32 [n_rows, hidden_size]
// Row independence: yes.
struct ResidentDown {
    ResidentExperts experts;
    const bf16_t* hidden;
    const int32_t* ids;
    const float* gains;
    int n_rows;
    int top_k;
    float* dst;
};

// The k largest logits of every row, best first, ties to the lower index; NaN counts as -infinity.
//   logits f32 [n_rows, n]    ids int32 [n_rows, k], values f32 [n_rows, k]; k <= 64, k <= n
// Row independence: yes.
struct LargestLogits {
    const float* logits;
    int n_rows;
    int n;
    int k;
    int32_t* ids;
    float* values;
};

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

// The expert handoff: counters that only grow, in shared memory, one cache line each.
struct HandoffFlags {
    uint32_t* reached;     // raised by the device: that many handoffs are the host's
    const uint32_t* done;  // raised by the host: that many are finished
    uint32_t* n_signals;   // device memory: what signal_host has counted
    uint32_t* n_waits;     // device memory: what await_host has counted
};
// reached = ++n_signals, after all work queued before it.
struct SignalHost {
    HandoffFlags flags;
};
// ++n_waits, then spins until done >= n_waits.
struct AwaitHost {
    HandoffFlags flags;
};

// Launches, one per contract above. `stream` runs them in order.
struct Table {
    void (*embed)(simt::Stream*, const Embed&);
    void (*rms_norm)(simt::Stream*, const RmsNorm&);
    void (*row_product)(simt::Stream*, const RowProduct&);
    void (*gated_row_product)(simt::Stream*, const GatedRowProduct&);
    void (*dequantise)(simt::Stream*, const Dequantise&);
    void (*panel_product)(simt::Stream*, const PanelProduct&);
    void (*silu_mul)(simt::Stream*, const SiluMul&);
    void (*add)(simt::Stream*, const Add&);
    void (*choose_experts)(simt::Stream*, const ChooseExperts&);
    void (*resident_gate_up)(simt::Stream*, const ResidentGateUp&);
    void (*resident_down)(simt::Stream*, const ResidentDown&);
    void (*largest_logits)(simt::Stream*, const LargestLogits&);
    void (*write_latent)(simt::Stream*, const WriteLatent&);
    void (*absorb_queries)(simt::Stream*, const AbsorbQueries&);
    void (*mla_decode)(simt::Stream*, const MlaDecode&);
    void (*mla_combine)(simt::Stream*, const MlaCombine&);
    void (*project_values)(simt::Stream*, const ProjectValues&);
    void (*gather_latent)(simt::Stream*, const GatherLatent&);
    void (*rotate_queries)(simt::Stream*, const RotateQueries&);
    void (*mla_prefill)(simt::Stream*, const MlaPrefill&);
    void (*signal_host)(simt::Stream*, const SignalHost&);
    void (*await_host)(simt::Stream*, const AwaitHost&);
};

// The kernels run by the emulator; streams are EmulatedStream::handle().
const Table& emulated_table();
// The kernels run by CUDA; streams are cudaStream_t. Only where it was compiled with CUDA.
const Table& cuda_table();

}  // namespace baltoro::gpu
