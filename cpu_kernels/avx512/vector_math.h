#pragma once

#include <immintrin.h>

#include "cpu_kernels/kernels.h"

namespace baltoro::kernels {
namespace {

// The first n of 16 lanes; n may exceed 16 or be negative.
inline __mmask16 first_lanes(ptrdiff_t n) {
    return static_cast<__mmask16>(n >= 16 ? 0xffffu : n <= 0 ? 0u : (1u << n) - 1u);
}

// The first n of 32 lanes.
inline __mmask32 first_lanes32(ptrdiff_t n) {
    return n >= 32 ? 0xffffffffu : n <= 0 ? 0 : (1u << n) - 1u;
}

// The first n of 64 lanes.
inline __mmask64 first_lanes64(ptrdiff_t n) {
    return n >= 64 ? ~uint64_t{0} : n <= 0 ? 0 : (uint64_t{1} << n) - 1u;
}

// exp(x) within 2 ulp (Cephes' polynomial on [-ln2/2, ln2/2]); exp(-inf) = 0, NaN stays NaN.
inline __m512 exp_ps(__m512 x) {
    // The second operand of max and min is returned when one is NaN.
    x = _mm512_max_ps(_mm512_set1_ps(-110.0f), x);
    x = _mm512_min_ps(_mm512_set1_ps(90.0f), x);
    const __m512 n = _mm512_roundscale_ps(_mm512_mul_ps(x, _mm512_set1_ps(1.44269504f)),
                                          _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    __m512 r = _mm512_fnmadd_ps(n, _mm512_set1_ps(0.693359375f), x);
    r = _mm512_fnmadd_ps(n, _mm512_set1_ps(-2.12194440e-4f), r);
    __m512 p = _mm512_set1_ps(1.9875691500e-4f);
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.3981999507e-3f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(8.3334519073e-3f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(4.1665795894e-2f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.6666665459e-1f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(5.0000001201e-1f));
    p = _mm512_fmadd_ps(_mm512_mul_ps(r, r), p, r);
    return _mm512_scalef_ps(_mm512_add_ps(p, _mm512_set1_ps(1.0f)), n);
}

// z / (1 + exp(-z))
inline __m512 silu_ps(__m512 z) {
    const __m512 e = exp_ps(_mm512_sub_ps(_mm512_setzero_ps(), z));
    return _mm512_div_ps(z, _mm512_add_ps(e, _mm512_set1_ps(1.0f)));
}

// bf16 bits in the low half of each lane, rounded to nearest even; keeps subnormals, which
// VCVTNEPS2BF16 flushes.
inline __m512i bf16_bits_ps(__m512 value) {
    const __m512i bits = _mm512_castps_si512(value);
    const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    const __m512i rounded =
        _mm512_add_epi32(_mm512_add_epi32(bits, odd), _mm512_set1_epi32(0x7fff));
    const __mmask16 nan = _mm512_cmp_ps_mask(value, value, _CMP_UNORD_Q);
    const __m512i quiet = _mm512_or_si512(bits, _mm512_set1_epi32(0x400000));
    return _mm512_srli_epi32(_mm512_mask_mov_epi32(rounded, nan, quiet), 16);
}

inline __m256i bf16_from_ps(__m512 value) {
    return _mm512_cvtepi32_epi16(bf16_bits_ps(value));
}

inline __m512 ps_from_bf16(__m256i bits) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16));
}

// dst[0, n) = silu(gate) * up rounded to bf16, n in 0..16.
[[maybe_unused]] void silu_times(const float* gate, const float* up, bf16_t* dst, int n) noexcept {
    const __mmask16 lanes = first_lanes(n);
    const __m512 value = _mm512_mul_ps(silu_ps(_mm512_maskz_loadu_ps(lanes, gate)),
                                       _mm512_maskz_loadu_ps(lanes, up));
    _mm256_mask_storeu_epi16(dst, lanes, bf16_from_ps(value));
}

// The same for any n.
[[maybe_unused]] void gate_times_up(const float* gate,
                                    const float* up,
                                    bf16_t* dst,
                                    int n) noexcept {
    for (int i = 0; i < n; i += 16)
        silu_times(gate + i, up + i, dst + i, n - i < 16 ? n - i : 16);
}

}  // namespace
}  // namespace baltoro::kernels
