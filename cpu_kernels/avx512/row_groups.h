#pragma once

// Groups of weight rows that are read side by side. The arithmetic of one (weight row, activation
// row) pair must not depend on the size of the group, on the place in it or on the other rows.

#include <immintrin.h>

#include "cpu_kernels/announce.h"
#include "cpu_kernels/weight_rows.h"

namespace baltoro::kernels {
namespace {

constexpr int kMostGroup = 8;  // weight rows

// Weight rows to read together, and the rows that follow them (for prefetching).
struct WeightRows {
    const uint8_t* row[kMostGroup];
    const uint8_t* next[kMostGroup];
    int k;
};

// [weight row][activation row]
using GroupSums = float[kMostGroup][kMaxRows];

// Bytes ahead in the row, past its end in the row that follows the group. Short rows touch the
// following group throughout, two rows (one page) as one ascending stream; the runs so far
// (README.md) do not separate it from the plain form.
constexpr ptrdiff_t kPrefetchBytes = 2048;
constexpr ptrdiff_t kShortRowBytes = 4096;

template <WeightFormat F>
__attribute__((always_inline)) inline void prefetch_block(
    const uint8_t* row, const uint8_t* next, int odd, ptrdiff_t j, ptrdiff_t k) {
    constexpr ptrdiff_t kBytes = kWeightBytes<F>;
    const ptrdiff_t at = j * kBytes + kPrefetchBytes;
    const uint8_t* ahead = at < k * kBytes ? row + at : next + (at - k * kBytes);
    if (k * kBytes <= kShortRowBytes) ahead = next + (2 * j + odd * kScaleBlock - odd * k) * kBytes;
    announce_lines<kScaleBlock * kBytes, kFirstLevel>(ahead);
}

// The sums of weight rows i .. i + G - 1.
template <int G>
inline void store_products(const RowsProduct& a, int i, const GroupSums& sums) {
    for (int r = 0; r < a.n_rows; ++r) {
        float* const dst = result_row(a, r) + i;
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

}  // namespace
}  // namespace baltoro::kernels
