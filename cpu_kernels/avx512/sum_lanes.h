#pragma once

#include <immintrin.h>

namespace baltoro::kernels {
namespace {

// to[i] = the lanes of v[i] added, for the first n of eight, in the same order for each: halves,
// then quarters of two vectors become one, at last pairs of lanes.
inline void sum_lanes(const __m512* v, int n, float (&to)[8]) {
    __m512 half[4];
    for (int i = 0; i < 4; ++i) {
        const __m512 a = v[i < n ? i : 0];
        const __m512 b = v[i + 4 < n ? i + 4 : 0];
        half[i] = _mm512_add_ps(_mm512_shuffle_f32x4(a, b, 0x44), _mm512_shuffle_f32x4(a, b, 0xee));
    }
    // The quarters of v[i], v[i + 4], v[i + 2], v[i + 6].
    __m512 quarter[2];
    for (int i = 0; i < 2; ++i)
        quarter[i] = _mm512_add_ps(_mm512_shuffle_f32x4(half[i], half[i + 2], 0x88),
                                   _mm512_shuffle_f32x4(half[i], half[i + 2], 0xdd));
    const __m512 pair = _mm512_add_ps(_mm512_unpacklo_ps(quarter[0], quarter[1]),
                                      _mm512_unpackhi_ps(quarter[0], quarter[1]));
    const __m512 sum = _mm512_add_ps(pair, _mm512_permute_ps(pair, 0x4e));
    // Lanes 0 and 1 of each quarter.
    const __m512i order = _mm512_setr_epi32(0, 1, 8, 9, 4, 5, 12, 13, 0, 0, 0, 0, 0, 0, 0, 0);
    _mm256_storeu_ps(to, _mm512_castps512_ps256(_mm512_permutexvar_ps(order, sum)));
}

// Calls put(i, the lanes of v[i] added) for n vectors.
template <class Put>
inline void add_lanes(const __m512* v, int n, const Put& put) {
    for (int first = 0; first < n; first += 8) {
        float sum[8];
        sum_lanes(v + first, n - first, sum);
        for (int i = 0; i < 8 && first + i < n; ++i)
            put(first + i, sum[i]);
    }
}

}  // namespace
}  // namespace baltoro::kernels
