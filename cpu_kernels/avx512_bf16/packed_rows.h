#pragma once

// Activations of the row kernels, packed once per call in the order in which they are read.

#include <immintrin.h>

#include "cpu_kernels/avx512/vector_math.h"
#include "cpu_kernels/avx512_bf16/split_decoder.h"
#include "cpu_kernels/weight_rows.h"

namespace baltoro::kernels {
namespace {

constexpr int kTileRows = 8;
constexpr int kRowBlockVectors = kScaleBlock / 32;  // of one scale block of one row

// Activation rows in tiles of up to kTileRows. A tile has, for each unit, two vectors of its first
// row, two of the second and so on, in the order of SplitDecoder; zeros fill the last scale block.
struct PackedRows {
    const __m512i* x;
    int n;
    ptrdiff_t tile_vectors;  // between tiles

    int n_in_tile(int first) const { return n - first < kTileRows ? n - first : kTileRows; }

    // The tile that begins with row `first`, from scale block `b` on.
    const __m512i* tile(int first, int b) const {
        return x + first / kTileRows * tile_vectors +
               static_cast<ptrdiff_t>(b) * kRowBlockVectors * n_in_tile(first);
    }
};

inline ptrdiff_t packed_tile_vectors(int k) {
    return static_cast<ptrdiff_t>(n_scale_blocks(k)) * kRowBlockVectors * kTileRows;
}

alignas(64) constexpr uint16_t kEvenPlaces[32] = {0,  2,  4,  6,  8,  10, 12, 14, 16, 18, 20,
                                                  22, 24, 26, 28, 30, 32, 34, 36, 38, 40, 42,
                                                  44, 46, 48, 50, 52, 54, 56, 58, 60, 62};

// The first n of a unit, n in any range.
template <WeightFormat F>
inline void pack_unit(const bf16_t* from, ptrdiff_t n, __m512i* to) {
    const __m512i first = _mm512_maskz_loadu_epi16(first_lanes32(n), from);
    const __m512i second = _mm512_maskz_loadu_epi16(first_lanes32(n - 32), from + 32);
    if constexpr (F == WeightFormat::bf16) {
        to[0] = first;
        to[1] = second;
    } else {
        const __m512i even = _mm512_load_si512(kEvenPlaces);
        const __m512i odd = _mm512_add_epi16(even, _mm512_set1_epi16(1));
        to[0] = _mm512_permutex2var_epi16(first, even, second);
        to[1] = _mm512_permutex2var_epi16(first, odd, second);
    }
}

// `to` takes packed_tile_vectors(k) for each tile.
template <WeightFormat F>
PackedRows pack_rows(const ActivationRows& x, int n, int k, __m512i* to) noexcept {
    const PackedRows packed = {to, n, packed_tile_vectors(k)};
    const ptrdiff_t depth = static_cast<ptrdiff_t>(n_scale_blocks(k)) * kScaleBlock;
    for (int r0 = 0; r0 < n; r0 += kTileRows) {
        __m512i* at = to + r0 / kTileRows * packed.tile_vectors;
        for (ptrdiff_t j = 0; j < depth; j += kUnit)
            for (int r = 0; r < packed.n_in_tile(r0); ++r, at += 2)
                pack_unit<F>(x.x + (r0 + r) * x.stride + j, k - j, at);
    }
    return packed;
}

}  // namespace
}  // namespace baltoro::kernels
