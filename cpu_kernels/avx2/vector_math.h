#pragma once

#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#include "cpu_kernels/kernels.h"

namespace baltoro::kernels {
namespace {

// All bits of the first n of 8 lanes; n may exceed 8 or be negative.
inline __m256i first_lanes(ptrdiff_t n) {
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    const int count = n >= 8 ? 8 : n <= 0 ? 0 : static_cast<int>(n);
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(count), lane);
}

// The first n of 8 elements, the others 0; n > 0.
inline __m256 load_first(const float* from, ptrdiff_t n) {
    return n >= 8 ? _mm256_loadu_ps(from) : _mm256_maskload_ps(from, first_lanes(n));
}

inline void store_first(float* to, ptrdiff_t n, __m256 v) {
    if (n >= 8)
        _mm256_storeu_ps(to, v);
    else
        _mm256_maskstore_ps(to, first_lanes(n), v);
}

inline __m256 load_first(const bf16_t* from, ptrdiff_t n) {
    __m128i bits = _mm_setzero_si128();
    memcpy(&bits, from, n >= 8 ? sizeof bits : static_cast<size_t>(n) * sizeof(bf16_t));
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16));
}

// v rounded to nearest even; keeps subnormals.
inline void store_first(bf16_t* to, ptrdiff_t n, __m256 v) {
    const __m256i bits = _mm256_castps_si256(v);
    const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    const __m256i rounded =
        _mm256_add_epi32(_mm256_add_epi32(bits, odd), _mm256_set1_epi32(0x7fff));
    const __m256 nan = _mm256_cmp_ps(v, v, _CMP_UNORD_Q);
    const __m256i quiet = _mm256_or_si256(bits, _mm256_set1_epi32(0x400000));
    const __m256i chosen = _mm256_blendv_epi8(rounded, quiet, _mm256_castps_si256(nan));
    const __m256i high = _mm256_srli_epi32(chosen, 16);
    const __m128i packed =
        _mm_packus_epi32(_mm256_castsi256_si128(high), _mm256_extracti128_si256(high, 1));
    memcpy(to, &packed, n >= 8 ? sizeof packed : static_cast<size_t>(n) * sizeof(bf16_t));
}

inline float add_lanes(__m256 v) {
    const __m128 four = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

inline float largest_lane(__m256 v) {
    const __m128 four = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    const __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
}

// 2^n, n whole and in -126 .. 127.
inline __m256 power_of_two(__m256i n) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(n, _mm256_set1_epi32(127)), 23));
}

// exp(x) within 2 ulp (Cephes' polynomial on [-ln2/2, ln2/2]); exp(-inf) = 0, NaN stays NaN.
inline __m256 exp_ps(__m256 x) {
    // The second operand of max and min is returned when one is NaN.
    x = _mm256_max_ps(_mm256_set1_ps(-110.0f), x);
    x = _mm256_min_ps(_mm256_set1_ps(90.0f), x);
    const __m256 n = _mm256_round_ps(_mm256_mul_ps(x, _mm256_set1_ps(1.44269504f)),
                                     _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    __m256 r = _mm256_fnmadd_ps(n, _mm256_set1_ps(0.693359375f), x);
    r = _mm256_fnmadd_ps(n, _mm256_set1_ps(-2.12194440e-4f), r);
    __m256 p = _mm256_set1_ps(1.9875691500e-4f);
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.3981999507e-3f));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(8.3334519073e-3f));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(4.1665795894e-2f));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.6666665459e-1f));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(5.0000001201e-1f));
    p = _mm256_fmadd_ps(_mm256_mul_ps(r, r), p, r);
    p = _mm256_add_ps(p, _mm256_set1_ps(1.0f));
    // In two steps, since 2^n may be subnormal or infinite where the result is not.
    const __m256i whole = _mm256_cvtps_epi32(n);
    const __m256i half = _mm256_srai_epi32(whole, 1);
    p = _mm256_mul_ps(p, power_of_two(half));
    return _mm256_mul_ps(p, power_of_two(_mm256_sub_epi32(whole, half)));
}

// z / (1 + exp(-z))
inline __m256 silu_ps(__m256 z) {
    const __m256 e = exp_ps(_mm256_sub_ps(_mm256_setzero_ps(), z));
    return _mm256_div_ps(z, _mm256_add_ps(e, _mm256_set1_ps(1.0f)));
}

}  // namespace
}  // namespace baltoro::kernels
