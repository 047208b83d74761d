#pragma once

// Contracts of the CPU kernels. Matrices are row-major, outermost dimension first. Every kernel is
// noexcept, allocates nothing, holds no lock, reads no global and may run on any thread; pointers
// need only the alignment of their element unless a comment says otherwise.
//
// There are two groups. Products read weights as the checkpoint has them (bf16, or e4m3 with one
// f32 scale per 128 x 128 block) and are bound by memory at few rows and by arithmetic at many.
// Vector operations work on activations that lie in the first cache levels.

#include <stddef.h>
#include <stdint.h>

#include "base/float_formats.h"

namespace baltoro::kernels {

constexpr int kScaleBlock =
    128;                         // edge of a scale block; the last one of a dimension may be ragged
constexpr int kMaxRows = 16;     // most activation rows of one row-kernel call
constexpr int kPanelRows = 16;   // activation rows (tokens) of one packed panel
constexpr int kPanelDepth = 32;  // a panel's depth is padded with zeros to a multiple of this

enum class WeightFormat : uint8_t { bf16, fp8_block };

// A weight matrix [n, k] where it lies; not owned.
struct Weight {
    const void* data;    // bf16_t [n, k] or e4m3_t [n, k], rows `stride` elements apart
    const float* scale;  // fp8_block: f32 [ceil(n/128), ceil(k/128)], multiplied; else null
    int n;
    int k;
    ptrdiff_t stride;  // elements; k for a checkpoint tensor
    WeightFormat format;
};

// Scale blocks along a dimension of n elements.
static inline int n_scale_blocks(int n) {
    return (n + kScaleBlock - 1) / kScaleBlock;
}

// Half-open range of a weight's rows (= output columns); what one worker computes.
struct RowRange {
    int begin;
    int end;
};

// dst[r, i] = sum_j x[r, j] * w[i, j]   for i in range; other columns of dst are not touched.
//   x    bf16 [n_rows, w.k], rows `x_stride` elements apart; n_rows in 0..kMaxRows
//   dst  f32 [n_rows, >= range.end], rows `dst_stride` elements apart
//   scratch  64-byte aligned, Table::row_scratch_bytes(w.k) bytes, private to the call
// If `gain` is not null the product is scaled and added instead:
//   dst[dst_row[r], i] += gain[r] * product[r, i]      (dst_row null: dst_row[r] = r)
// The arithmetic of a row does not depend on n_rows, on the other rows or on `range`.
// Accumulation is f32; nothing is rounded to bf16 on the way.
struct RowsProduct {
    Weight w;
    RowRange range;
    const bf16_t* x;
    ptrdiff_t x_stride;
    int n_rows;
    float* dst;
    ptrdiff_t dst_stride;
    const float* gain;
    const int32_t* dst_row;
    void* scratch;
};

// dst[r, i] = silu(gate[i, :] . x[r, :]) * (up[i, :] . x[r, :])   rounded to bf16, i in range.
//   silu(z) = z / (1 + exp(-z)); gate and up have equal n, k and format; the rest as RowsProduct.
struct RowsGateUp {
    Weight gate;
    Weight up;
    RowRange range;
    const bf16_t* x;
    ptrdiff_t x_stride;
    int n_rows;
    bf16_t* dst;
    ptrdiff_t dst_stride;
    void* scratch;
};

// dst[r, j] = sum over i in range of x[r, i - range.begin] * w[i, j]     (the transposed product)
//   x    f32 [n_rows, range.end - range.begin], rows `x_stride` apart; n_rows in 0..kMaxRows
//   dst  f32 [n_rows, w.k], rows `dst_stride` apart; with `accumulate` added to, else overwritten
// Used for the absorbed query (w = kv_b's key rows) and for probabilities x latent cache.
// The arithmetic of a row does not depend on n_rows or on the other rows.
struct TransposedProduct {
    Weight w;
    RowRange range;
    const float* x;
    ptrdiff_t x_stride;
    int n_rows;
    float* dst;
    ptrdiff_t dst_stride;
    bool accumulate;
};

// dst[r, i] = sum_j x[r, j] * w[i, j] with f32 activations and bf16 or f32 weights (the router).
//   x f32 [n_rows, k]; exactly one of w_bf16, w_f32 [n, k] is not null; dst f32 [n_rows, n]; all
//   contiguous; any n_rows; i in range. The arithmetic of a row does not depend on the others.
struct RouterProduct {
    const bf16_t* w_bf16;
    const float* w_f32;
    int n;
    int k;
    RowRange range;
    const float* x;
    int n_rows;
    float* dst;
};

// A packed panel holds kPanelRows activation rows so that both AMX (as B tile) and AVX-512 (lane =
// row) read it in order:  panel[j / 2][r][j % 2] = x[r, j],  j < padded_depth(k), zeros where r or
// j lies outside. Panels of one activation matrix follow each other, panel_elements(k) apart,
// 64-byte aligned.
static inline int padded_depth(int k) {
    return (k + kPanelDepth - 1) / kPanelDepth * kPanelDepth;
}
static inline size_t panel_elements(int k) {
    return static_cast<size_t>(padded_depth(k)) * kPanelRows;
}

// Packs rows [0, n_rows) of x into one panel; n_rows in 0..kPanelRows.
//   row  source row of each panel row, or null for row[r] = r (the gather of an expert's tokens)
struct PackPanel {
    const bf16_t* x;
    ptrdiff_t x_stride;
    const int32_t* row;
    int n_rows;
    int k;
    bf16_t* panel;
};

// The products over many rows. The same sums as RowsProduct and RowsGateUp, except that weights are
// first rounded to what the level multiplies: at scale-block granularity the sum is f32 and exact
// in the scale, so |error| stays within the bound of tests/cpu_kernels.
//   panels   n_rows packed rows (ceil(n_rows / 16) panels); any n_rows
//   scratch  64-byte aligned, Table::panel_scratch_bytes(k, n_rows) bytes, private to the call
// Rows beyond n_rows in the last panel are not written.
struct PanelsProduct {
    Weight w;
    RowRange range;
    const bf16_t* panels;
    int n_rows;
    float* dst;
    ptrdiff_t dst_stride;
    const float* gain;
    const int32_t* dst_row;
    void* scratch;
};

// dst is packed as panels again (depth = w.n), ready for the down projection: the range's entries
// of every panel are written, rows beyond n_rows as zeros. range.begin and range.end are even or n;
// the caller zeroes the padding between n and padded_depth(n) once.
struct PanelsGateUp {
    Weight gate;
    Weight up;
    RowRange range;
    const bf16_t* panels;
    int n_rows;
    bf16_t* dst_panels;
    void* scratch;
};

// y = gain * (x / sqrt(mean(x^2) + eps)), per row of length n; statistics in f32.
//   src f32 rows `src_stride` apart; gain bf16 [n]; dst_f32 and dst_bf16 contiguous [n_rows, n],
//   either may be null.
struct RmsNorm {
    const float* src;
    ptrdiff_t src_stride;
    const bf16_t* gain;
    float eps;
    int n_rows;
    int n;
    float* dst_f32;
    bf16_t* dst_bf16;
};

// One step of the online softmax over a block of scores, per row:
//   m' = max(m, max_j scale * s[j]);  c = exp(m - m');  p[j] = exp(scale * s[j] - m');
//   l = l * c + sum_j p[j];  m = m'.   s is overwritten by p; c goes to `correction`.
// Entries j >= valid[r] (the causal mask) become p = 0 and do not count. If no entry is valid, the
// row is unchanged and c = 1. m starts as -infinity, l as 0.
//   s f32 [n_rows, n] rows `stride` apart; m, l, correction f32 [n_rows]; valid int32 [n_rows]
struct SoftmaxBlock {
    float* s;
    ptrdiff_t stride;
    int n_rows;
    int n;
    const int32_t* valid;
    float scale;
    float* m;
    float* l;
    float* correction;
};

// The kernels of one ISA level. A level overrides what it does better than the level below it.
struct Table {
    void (*rows_product)(const RowsProduct&) noexcept;
    void (*rows_gate_up)(const RowsGateUp&) noexcept;
    size_t (*row_scratch_bytes)(int k) noexcept;  // 0 for kernels that need none
    void (*transposed_product)(const TransposedProduct&) noexcept;
    void (*router_product)(const RouterProduct&) noexcept;
    void (*pack_panel)(const PackPanel&) noexcept;
    void (*panels_product)(const PanelsProduct&) noexcept;
    void (*panels_gate_up)(const PanelsGateUp&) noexcept;
    size_t (*panel_scratch_bytes)(int k, int n_rows) noexcept;
    // From this many rows on, the panel kernels are faster than repeated row kernels on this level;
    // INT32_MAX where they never are. Measured by `cpu_check --bench`.
    int panel_min_rows;

    void (*rms_norm)(const RmsNorm&) noexcept;
    void (*softmax_block)(const SoftmaxBlock&) noexcept;
    // dst[i] = bf16(src[i])
    void (*bf16_from_f32)(const float* src, bf16_t* dst, size_t n) noexcept;
    // dst[i] = float(src[i])
    void (*f32_from_bf16)(const bf16_t* src, float* dst, size_t n) noexcept;
    // dst[i] += src[i]
    void (*add)(const float* src, float* dst, size_t n) noexcept;
    // dst[i] *= factor
    void (*scale)(float factor, float* dst, size_t n) noexcept;
};

}  // namespace baltoro::kernels
