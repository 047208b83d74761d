#pragma once

// The loops that every vector level's row kernels share: groups of weight rows are read side by
// side, blocks of activation rows share one decode. A level supplies `dots` (the sums of a few
// weight rows with a few activation rows), in which the arithmetic of one (weight row, activation
// row) pair must not depend on the template arguments. Everything has internal linkage, because
// each including file is compiled for another instruction set.

#include <immintrin.h>

#include "cpu_kernels/kernels.h"

namespace baltoro::kernels {
namespace {

constexpr int kGroup = 4;     // weight rows read side by side
constexpr int kRowBlock = 8;  // activation rows whose sums are kept; four share a decode

// Weight rows to read together, and the rows that follow them (for prefetching).
struct WeightRows {
    const uint8_t* row[kGroup];
    const uint8_t* next[kGroup];
    const float* scale[kGroup];  // of the first block; null for bf16
    int k;
};

// Activation rows that share a decode.
struct ActivationRows {
    const bf16_t* x;
    ptrdiff_t stride;
};

using GroupSums = float[kGroup][kRowBlock];

inline int bytes_per_weight(WeightFormat format) {
    return format == WeightFormat::bf16 ? 2 : 1;
}

inline const uint8_t* weight_row(const Weight& w, int i) {
    return static_cast<const uint8_t*>(w.data) + i * w.stride * bytes_per_weight(w.format);
}

inline const float* scale_row(const Weight& w, int i) {
    if (w.format == WeightFormat::bf16) return nullptr;
    return w.scale +
           static_cast<ptrdiff_t>(i / kScaleBlock) * ((w.k + kScaleBlock - 1) / kScaleBlock);
}

// Puts `n` rows of w from row i on into `rows` at `at`; what follows them stays below `end`.
inline void set_rows(WeightRows& rows, int at, const Weight& w, int i, int n, int end) {
    for (int s = 0; s < n; ++s) {
        rows.row[at + s] = weight_row(w, i + s);
        rows.next[at + s] = weight_row(w, i + s + n < end ? i + s + n : i + s);
        rows.scale[at + s] = scale_row(w, i + s);
    }
}

// 512 bytes ahead in the row, past its end in the row that follows the group; 1024 was slower.
// Short rows touch the following group throughout, two rows (one page) as one ascending stream; the
// runs so far (README.md) do not separate it from the plain form.
constexpr ptrdiff_t kPrefetchBytes = 512;
constexpr ptrdiff_t kShortRowBytes = 4096;
constexpr ptrdiff_t kStreamPrefetchBytes = 512;

template <WeightFormat F>
inline void prefetch_block(
    const uint8_t* row, const uint8_t* next, int odd, ptrdiff_t j, ptrdiff_t k) {
    constexpr ptrdiff_t kBytes = F == WeightFormat::bf16 ? 2 : 1;
    const ptrdiff_t at = j * kBytes + kPrefetchBytes;
    const uint8_t* ahead = at < k * kBytes ? row + at : next + (at - k * kBytes);
    if (k * kBytes <= kShortRowBytes) ahead = next + (2 * j + odd * kScaleBlock - odd * k) * kBytes;
    for (ptrdiff_t line = 0; line < kScaleBlock * kBytes; line += 64)
        _mm_prefetch(reinterpret_cast<const char*>(ahead + line), _MM_HINT_T0);
}

template <WeightFormat F>
inline bool is_short_row(ptrdiff_t k) {
    return k * (F == WeightFormat::bf16 ? 2 : 1) <= kShortRowBytes;
}

// Short rows taken one at a time are one ascending stream through the matrix, row ends included.
// One activation row, two Zen 4 cores: [7168, 2048] 67 -> 85 % of the read bandwidth, but [2048,
// 7168] 93 -> 64 %, so long rows stay side by side.
template <WeightFormat F>
inline void prefetch_stream(const uint8_t* row, ptrdiff_t j) {
    constexpr ptrdiff_t kBytes = F == WeightFormat::bf16 ? 2 : 1;
    const uint8_t* ahead = row + j * kBytes + kStreamPrefetchBytes;
    for (ptrdiff_t line = 0; line < kScaleBlock * kBytes; line += 64)
        _mm_prefetch(reinterpret_cast<const char*>(ahead + line), _MM_HINT_T0);
}

// Slices of the group, each with as many weight rows as the registers hold next to R sums each.
template <class Level, WeightFormat F, int G, int R, int kMost = Level::slice(R)>
void slice_dots(const WeightRows& rows, const ActivationRows& x, GroupSums& sums, int r) noexcept {
    constexpr int W = G < kMost ? G : kMost;
    for (int s = 0; s < G; s += W)
        Level::template dots<F, W, R>(rows, s, x, sums, r);
}

// sums[s][r] for G weight rows and n_rows <= kRowBlock activation rows.
template <class Level, WeightFormat F, int G>
void group_dots(const WeightRows& rows, ActivationRows x, int n_rows, GroupSums& sums) noexcept {
    int r = 0;
    for (; r + 4 <= n_rows; r += 4, x.x += 4 * x.stride)
        slice_dots<Level, F, G, 4>(rows, x, sums, r);
    if (n_rows - r == 3) slice_dots<Level, F, G, 3>(rows, x, sums, r);
    if (n_rows - r == 2) slice_dots<Level, F, G, 2>(rows, x, sums, r);
    if (n_rows - r != 1) return;
    if (Level::kStreamsShortRows && is_short_row<F>(rows.k))
        slice_dots<Level, F, G, 1, 1>(rows, x, sums, r);
    else
        slice_dots<Level, F, G, 1>(rows, x, sums, r);
}

template <class Level, WeightFormat F, int G>
void product_group(const RowsProduct& a, int i) noexcept {
    WeightRows rows;
    rows.k = a.w.k;
    set_rows(rows, 0, a.w, i, G, a.range.end);
    for (int r0 = 0; r0 < a.n_rows; r0 += kRowBlock) {
        const int n = a.n_rows - r0 < kRowBlock ? a.n_rows - r0 : kRowBlock;
        GroupSums sums;
        group_dots<Level, F, G>(rows, {a.x + r0 * a.x_stride, a.x_stride}, n, sums);
        for (int r = r0; r < r0 + n; ++r) {
            float* dst = a.dst + (a.gain && a.dst_row ? a.dst_row[r] : r) * a.dst_stride + i;
            for (int s = 0; s < G; ++s)
                dst[s] = a.gain ? dst[s] + a.gain[r] * sums[s][r - r0] : sums[s][r - r0];
        }
    }
}

template <class Level, WeightFormat F, int H>
void gate_up_group(const RowsGateUp& a, int i) noexcept {
    WeightRows rows;
    rows.k = a.gate.k;
    set_rows(rows, 0, a.gate, i, H, a.range.end);
    set_rows(rows, H, a.up, i, H, a.range.end);
    for (int r0 = 0; r0 < a.n_rows; r0 += kRowBlock) {
        const int n = a.n_rows - r0 < kRowBlock ? a.n_rows - r0 : kRowBlock;
        GroupSums sums = {};
        group_dots<Level, F, 2 * H>(rows, {a.x + r0 * a.x_stride, a.x_stride}, n, sums);
        bf16_t activated[2 * kRowBlock];
        Level::gate_times_up(sums[0], sums[H], activated, H * kRowBlock);
        for (int r = 0; r < n; ++r)
            for (int s = 0; s < H; ++s)
                a.dst[(r0 + r) * a.dst_stride + i + s] = activated[s * kRowBlock + r];
    }
}

template <class Level, WeightFormat F>
void product_in_groups(const RowsProduct& a) noexcept {
    int i = a.range.begin;
    for (; i + kGroup <= a.range.end; i += kGroup)
        product_group<Level, F, kGroup>(a, i);
    for (; i < a.range.end; ++i)
        product_group<Level, F, 1>(a, i);
}

template <class Level, WeightFormat F>
void gate_up_in_groups(const RowsGateUp& a) noexcept {
    int i = a.range.begin;
    for (; i + kGroup / 2 <= a.range.end; i += kGroup / 2)
        gate_up_group<Level, F, kGroup / 2>(a, i);
    for (; i < a.range.end; ++i)
        gate_up_group<Level, F, 1>(a, i);
}

template <class Level>
void rows_product_of(const RowsProduct& a) noexcept {
    if (a.w.format == WeightFormat::bf16)
        product_in_groups<Level, WeightFormat::bf16>(a);
    else
        product_in_groups<Level, WeightFormat::fp8_block>(a);
}

template <class Level>
void rows_gate_up_of(const RowsGateUp& a) noexcept {
    if (a.gate.format == WeightFormat::bf16)
        gate_up_in_groups<Level, WeightFormat::bf16>(a);
    else
        gate_up_in_groups<Level, WeightFormat::fp8_block>(a);
}

}  // namespace
}  // namespace baltoro::kernels
