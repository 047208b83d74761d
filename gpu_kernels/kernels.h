#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/float_formats.h"
#include "gpu_kernels/attention.h"
#include "gpu_kernels/simt/types.h"
#include "gpu_kernels/weight.h"

// The contracts of the GPU kernels (of latent attention: attention.h). All pointers are device
// memory unless a comment says shared (mapped for the host too); arrays are row-major, outermost
// dimension first, contiguous unless a stride is given, and 16-byte aligned. A launch queues the
// kernel and returns; nothing allocates. Row independence: where a comment says so, a row's bits do
// not depend on the other rows.

namespace baltoro::gpu {

constexpr int kMaxRows = 16;  // rows that share one pass over a weight in `row_product`

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
