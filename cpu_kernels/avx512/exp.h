#pragma once

#include <immintrin.h>

namespace baltoro::kernels {
namespace {

// exp(x) within 2 ulp for x in [-87, 88]; 0 below, infinity above, NaN for NaN.
// exp(x) = 2^n exp(r), n = round(x / ln 2), |r| <= ln(2)/2: ln 2 in two parts (Cody and Waite), a
// degree-6 polynomial (coefficients of the Cephes library's expf), scaled by VSCALEFPS.
static inline __m512 exp_ps(__m512 x) noexcept {
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
    p = _mm512_fmadd_ps(p, _mm512_mul_ps(r, r), _mm512_add_ps(r, _mm512_set1_ps(1.0f)));
    p = _mm512_scalef_ps(p, n);
    // -infinity minus infinity above made NaN; both ends are plain.
    p = _mm512_mask_mov_ps(p, _mm512_cmp_ps_mask(x, _mm512_set1_ps(-104.0f), _CMP_LT_OQ),
                           _mm512_setzero_ps());
    return _mm512_mask_mov_ps(p, _mm512_cmp_ps_mask(x, _mm512_set1_ps(89.0f), _CMP_GT_OQ),
                              _mm512_set1_ps(__builtin_inff()));
}

// silu(gate) * up
static inline __m512 gated_ps(__m512 gate, __m512 up) noexcept {
    const __m512 e = exp_ps(_mm512_sub_ps(_mm512_setzero_ps(), gate));
    const __m512 silu = _mm512_div_ps(gate, _mm512_add_ps(_mm512_set1_ps(1.0f), e));
    // exp(-gate) overflows below -88, where silu has long been 0 to f32.
    return _mm512_mul_ps(silu, up);
}

}  // namespace
}  // namespace baltoro::kernels
