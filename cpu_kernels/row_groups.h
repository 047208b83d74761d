#pragma once

// The loops that every vector level's row kernels share: groups of weight rows are read side by
// side. A level supplies `group_dots` (the sums of a group with up to 16 activation rows), in which
// the arithmetic of one (weight row, activation row) pair must not depend on the size of the group,
// on the place in it or on the other rows. Everything has internal linkage, because
// each including file is compiled for another instruction set.

#include <immintrin.h>

#include "cpu_kernels/kernels.h"

namespace baltoro::kernels {
namespace {

constexpr int kGroup = 4;      // weight rows read side by side
constexpr int kMostGroup = 8;  // on any level

// Weight rows to read together, and the rows that follow them (for prefetching).
struct WeightRows {
    const uint8_t* row[kMostGroup];
    const uint8_t* next[kMostGroup];
    const float* scale[kMostGroup];  // of the first block; null for bf16
    int k;
};

struct ActivationRows {
    const bf16_t* x;
    ptrdiff_t stride;
};

// [weight row][activation row]
using GroupSums = float[kMostGroup][kMaxRows];

template <WeightFormat F>
constexpr int kWeightBytes = F == WeightFormat::bf16 ? 2 : 1;

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

// The end of the weight rows from `begin` on that have their scales in common.
inline int same_scales_end(const RowRange& range, int begin) {
    const int end = (begin / kScaleBlock + 1) * kScaleBlock;
    return end < range.end ? end : range.end;
}

// Puts `n` rows of w from row i on into `rows` at `at`; what follows them stays below `end`.
inline void set_rows(WeightRows& rows, int at, const Weight& w, int i, int n, int end) {
    for (int s = 0; s < n; ++s) {
        rows.row[at + s] = weight_row(w, i + s);
        rows.next[at + s] = weight_row(w, i + s + n < end ? i + s + n : i + s);
        rows.scale[at + s] = scale_row(w, i + s);
    }
}

// Bytes ahead in the row, past its end in the row that follows the group; for a stream of rows,
// past the row's end. Short rows touch the following group throughout, two rows (one page) as one
// ascending stream; the runs so far (README.md) do not separate it from the plain form.
constexpr ptrdiff_t kPrefetchBytes = 2048;
constexpr ptrdiff_t kShortRowBytes = 4096;
constexpr ptrdiff_t kStreamPrefetchBytes = 4096;

template <WeightFormat F>
inline void prefetch_block(
    const uint8_t* row, const uint8_t* next, int odd, ptrdiff_t j, ptrdiff_t k) {
    constexpr ptrdiff_t kBytes = kWeightBytes<F>;
    const ptrdiff_t at = j * kBytes + kPrefetchBytes;
    const uint8_t* ahead = at < k * kBytes ? row + at : next + (at - k * kBytes);
    if (k * kBytes <= kShortRowBytes) ahead = next + (2 * j + odd * kScaleBlock - odd * k) * kBytes;
    for (ptrdiff_t line = 0; line < kScaleBlock * kBytes; line += 64)
        _mm_prefetch(reinterpret_cast<const char*>(ahead + line), _MM_HINT_T0);
}

template <WeightFormat F>
inline bool is_short_row(ptrdiff_t k) {
    return k * kWeightBytes<F> <= kShortRowBytes;
}

// Short rows taken one at a time are one ascending stream through the matrix, row ends included.
// One activation row, two Zen 4 cores: [7168, 2048] 67 -> 85 % of the read bandwidth, but [2048,
// 7168] 93 -> 64 %, so long rows stay side by side.
template <WeightFormat F>
inline void prefetch_stream(const uint8_t* row, ptrdiff_t j) {
    constexpr ptrdiff_t kBytes = kWeightBytes<F>;
    const uint8_t* ahead = row + j * kBytes + kStreamPrefetchBytes;
    for (ptrdiff_t line = 0; line < kScaleBlock * kBytes; line += 64)
        _mm_prefetch(reinterpret_cast<const char*>(ahead + line), _MM_HINT_T0);
}

// The sums of weight rows i .. i + G - 1.
template <int G>
inline void store_products(const RowsProduct& a, int i, const GroupSums& sums) {
    for (int r = 0; r < a.n_rows; ++r) {
        float* dst = a.dst + (a.gain && a.dst_row ? a.dst_row[r] : r) * a.dst_stride + i;
        for (int s = 0; s < G; ++s)
            dst[s] = a.gain ? dst[s] + a.gain[r] * sums[s][r] : sums[s][r];
    }
}

// The sums of H rows of gate and of as many of up, from weight row i on.
template <class Level, int H>
inline void store_gate_up(const RowsGateUp& a,
                          int i,
                          const float (*gate)[kMaxRows],
                          const float (*up)[kMaxRows]) {
    for (int s = 0; s < H; ++s) {
        bf16_t activated[kMaxRows];
        Level::gate_times_up(gate[s], up[s], activated, a.n_rows);
        for (int r = 0; r < a.n_rows; ++r)
            a.dst[r * a.dst_stride + i + s] = activated[r];
    }
}

template <class Level, WeightFormat F, int G>
void product_group(const RowsProduct& a, int i) noexcept {
    WeightRows rows;
    rows.k = a.w.k;
    set_rows(rows, 0, a.w, i, G, a.range.end);
    GroupSums sums;
    Level::template group_dots<F, G>(rows, {a.x, a.x_stride}, a.n_rows, sums);
    store_products<G>(a, i, sums);
}

template <class Level, WeightFormat F, int H>
void gate_up_group(const RowsGateUp& a, int i) noexcept {
    WeightRows rows;
    rows.k = a.gate.k;
    set_rows(rows, 0, a.gate, i, H, a.range.end);
    set_rows(rows, H, a.up, i, H, a.range.end);
    GroupSums sums;
    Level::template group_dots<F, 2 * H>(rows, {a.x, a.x_stride}, a.n_rows, sums);
    store_gate_up<Level, H>(a, i, sums, sums + H);
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
