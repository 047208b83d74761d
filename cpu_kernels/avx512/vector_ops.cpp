#include <immintrin.h>

#include "cpu_kernels/avx512/kernels.h"
#include "cpu_kernels/avx512/vector_math.h"

namespace baltoro::kernels::avx512 {
namespace {

float sum_of_squares(const float* x, int n) noexcept {
    __m512 sum = _mm512_setzero_ps();
    for (int j = 0; j < n; j += 16) {
        const __m512 v = _mm512_maskz_loadu_ps(first_lanes(n - j), x + j);
        sum = _mm512_fmadd_ps(v, v, sum);
    }
    return _mm512_reduce_add_ps(sum);
}

void softmax_row(float* s, int n_valid, const SoftmaxBlock& a, int r) noexcept {
    const __m512 scale = _mm512_set1_ps(a.scale);
    const __m512 lowest = _mm512_set1_ps(-__builtin_inff());
    __m512 largest = _mm512_set1_ps(a.m[r]);
    for (int j = 0; j < n_valid; j += 16) {
        const __mmask16 lanes = first_lanes(n_valid - j);
        const __m512 v = _mm512_mul_ps(scale, _mm512_maskz_loadu_ps(lanes, s + j));
        largest = _mm512_max_ps(largest, _mm512_mask_mov_ps(lowest, lanes, v));
    }
    const float m = _mm512_reduce_max_ps(largest);
    // While every score is -infinity nothing has weight; subtracting 0 keeps exp(-inf) = 0.
    const __m512 origin = _mm512_set1_ps(m == -__builtin_inff() ? 0.0f : m);
    __m512 sum = _mm512_setzero_ps();
    for (int j = 0; j < n_valid; j += 16) {
        const __mmask16 lanes = first_lanes(n_valid - j);
        const __m512 v = _mm512_mul_ps(scale, _mm512_maskz_loadu_ps(lanes, s + j));
        const __m512 p = _mm512_maskz_mov_ps(lanes, exp_ps(_mm512_sub_ps(v, origin)));
        _mm512_mask_storeu_ps(s + j, lanes, p);
        sum = _mm512_add_ps(sum, p);
    }
    const float correction =
        _mm512_cvtss_f32(exp_ps(_mm512_sub_ps(_mm512_set1_ps(a.m[r]), origin)));
    a.l[r] = a.l[r] * correction + _mm512_reduce_add_ps(sum);
    a.m[r] = m;
    a.correction[r] = correction;
}

}  // namespace

void rms_norm(const RmsNorm& a) noexcept {
    for (int r = 0; r < a.n_rows; ++r) {
        const float* x = a.src + r * a.src_stride;
        const float mean = sum_of_squares(x, a.n) / static_cast<float>(a.n);
        const __m512 norm = _mm512_set1_ps(__builtin_sqrtf(mean + a.eps));
        for (int j = 0; j < a.n; j += 16) {
            const __mmask16 lanes = first_lanes(a.n - j);
            const __m512 gain = ps_from_bf16(_mm256_maskz_loadu_epi16(lanes, a.gain + j));
            const __m512 y =
                _mm512_mul_ps(gain, _mm512_div_ps(_mm512_maskz_loadu_ps(lanes, x + j), norm));
            const ptrdiff_t at = static_cast<ptrdiff_t>(r) * a.n + j;
            if (a.dst_f32) _mm512_mask_storeu_ps(a.dst_f32 + at, lanes, y);
            if (a.dst_bf16) _mm256_mask_storeu_epi16(a.dst_bf16 + at, lanes, bf16_from_ps(y));
        }
    }
}

void softmax_block(const SoftmaxBlock& a) noexcept {
    for (int r = 0; r < a.n_rows; ++r) {
        float* s = a.s + r * a.stride;
        const int n_valid = a.valid[r] < 0 ? 0 : a.valid[r] < a.n ? a.valid[r] : a.n;
        if (n_valid == 0)
            a.correction[r] = 1.0f;
        else
            softmax_row(s, n_valid, a, r);
        for (int j = n_valid; j < a.n; j += 16)
            _mm512_mask_storeu_ps(s + j, first_lanes(a.n - j), _mm512_setzero_ps());
    }
}

void bf16_from_f32(const float* src, bf16_t* dst, size_t n) noexcept {
    for (size_t i = 0; i < n; i += 16) {
        const __mmask16 lanes = first_lanes(static_cast<ptrdiff_t>(n - i));
        _mm256_mask_storeu_epi16(dst + i, lanes,
                                 bf16_from_ps(_mm512_maskz_loadu_ps(lanes, src + i)));
    }
}

void f32_from_bf16(const bf16_t* src, float* dst, size_t n) noexcept {
    for (size_t i = 0; i < n; i += 16) {
        const __mmask16 lanes = first_lanes(static_cast<ptrdiff_t>(n - i));
        _mm512_mask_storeu_ps(dst + i, lanes,
                              ps_from_bf16(_mm256_maskz_loadu_epi16(lanes, src + i)));
    }
}

void add(const float* src, float* dst, size_t n) noexcept {
    for (size_t i = 0; i < n; i += 16) {
        const __mmask16 lanes = first_lanes(static_cast<ptrdiff_t>(n - i));
        const __m512 sum = _mm512_add_ps(_mm512_maskz_loadu_ps(lanes, dst + i),
                                         _mm512_maskz_loadu_ps(lanes, src + i));
        _mm512_mask_storeu_ps(dst + i, lanes, sum);
    }
}

void scale(float factor, float* dst, size_t n) noexcept {
    for (size_t i = 0; i < n; i += 16) {
        const __mmask16 lanes = first_lanes(static_cast<ptrdiff_t>(n - i));
        const __m512 v = _mm512_maskz_loadu_ps(lanes, dst + i);
        _mm512_mask_storeu_ps(dst + i, lanes, _mm512_mul_ps(v, _mm512_set1_ps(factor)));
    }
}

}  // namespace baltoro::kernels::avx512
