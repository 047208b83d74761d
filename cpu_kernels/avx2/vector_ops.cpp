#include <immintrin.h>

#include "cpu_kernels/avx2/kernels.h"
#include "cpu_kernels/avx2/vector_math.h"

namespace baltoro::kernels::avx2 {
namespace {

float sum_of_squares(const float* x, int n) noexcept {
    __m256 sum[2] = {_mm256_setzero_ps(), _mm256_setzero_ps()};
    int j = 0;
    for (; j + 16 <= n; j += 16)
        for (int i = 0; i < 2; ++i) {
            const __m256 v = _mm256_loadu_ps(x + j + 8 * i);
            sum[i] = _mm256_fmadd_ps(v, v, sum[i]);
        }
    for (; j < n; j += 8) {
        const __m256 v = load_first(x + j, n - j);
        sum[0] = _mm256_fmadd_ps(v, v, sum[0]);
    }
    return add_lanes(_mm256_add_ps(sum[0], sum[1]));
}

void softmax_row(float* s, int n_valid, const SoftmaxBlock& a, int r) noexcept {
    const __m256 scale = _mm256_set1_ps(a.scale);
    const __m256 lowest = _mm256_set1_ps(-__builtin_inff());
    __m256 largest = _mm256_set1_ps(a.m[r]);
    for (int j = 0; j < n_valid; j += 8) {
        const __m256 v = _mm256_mul_ps(scale, load_first(s + j, n_valid - j));
        const __m256 lanes = _mm256_castsi256_ps(first_lanes(n_valid - j));
        largest = _mm256_max_ps(largest, _mm256_blendv_ps(lowest, v, lanes));
    }
    const float m = largest_lane(largest);
    // While every score is -infinity nothing has weight; subtracting 0 keeps exp(-inf) = 0.
    const __m256 origin = _mm256_set1_ps(m == -__builtin_inff() ? 0.0f : m);
    __m256 sum = _mm256_setzero_ps();
    for (int j = 0; j < n_valid; j += 8) {
        const __m256 v = _mm256_mul_ps(scale, load_first(s + j, n_valid - j));
        const __m256 lanes = _mm256_castsi256_ps(first_lanes(n_valid - j));
        const __m256 p = _mm256_and_ps(lanes, exp_ps(_mm256_sub_ps(v, origin)));
        store_first(s + j, n_valid - j, p);
        sum = _mm256_add_ps(sum, p);
    }
    const float correction =
        _mm256_cvtss_f32(exp_ps(_mm256_sub_ps(_mm256_set1_ps(a.m[r]), origin)));
    a.l[r] = a.l[r] * correction + add_lanes(sum);
    a.m[r] = m;
    a.correction[r] = correction;
}

}  // namespace

void rms_norm(const RmsNorm& a) noexcept {
    for (int r = 0; r < a.n_rows; ++r) {
        const float* x = a.src + r * a.src_stride;
        const float mean = sum_of_squares(x, a.n) / static_cast<float>(a.n);
        const __m256 norm = _mm256_set1_ps(__builtin_sqrtf(mean + a.eps));
        for (int j = 0; j < a.n; j += 8) {
            const int left = a.n - j;
            const __m256 gain = load_first(a.gain + j, left);
            const __m256 y = _mm256_mul_ps(gain, _mm256_div_ps(load_first(x + j, left), norm));
            const ptrdiff_t at = static_cast<ptrdiff_t>(r) * a.n + j;
            if (a.dst_f32) store_first(a.dst_f32 + at, left, y);
            if (a.dst_bf16) store_first(a.dst_bf16 + at, left, y);
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
        for (int j = n_valid; j < a.n; j += 8)
            store_first(s + j, a.n - j, _mm256_setzero_ps());
    }
}

void bf16_from_f32(const float* src, bf16_t* dst, size_t n) noexcept {
    for (size_t i = 0; i < n; i += 8) {
        const auto left = static_cast<ptrdiff_t>(n - i);
        store_first(dst + i, left, load_first(src + i, left));
    }
}

void f32_from_bf16(const bf16_t* src, float* dst, size_t n) noexcept {
    for (size_t i = 0; i < n; i += 8) {
        const auto left = static_cast<ptrdiff_t>(n - i);
        store_first(dst + i, left, load_first(src + i, left));
    }
}

void add(const float* src, float* dst, size_t n) noexcept {
    for (size_t i = 0; i < n; i += 8) {
        const auto left = static_cast<ptrdiff_t>(n - i);
        store_first(dst + i, left,
                    _mm256_add_ps(load_first(dst + i, left), load_first(src + i, left)));
    }
}

void scale(float factor, float* dst, size_t n) noexcept {
    for (size_t i = 0; i < n; i += 8) {
        const auto left = static_cast<ptrdiff_t>(n - i);
        store_first(dst + i, left,
                    _mm256_mul_ps(load_first(dst + i, left), _mm256_set1_ps(factor)));
    }
}

}  // namespace baltoro::kernels::avx2
