#include "cpu_kernels/vector_ops.h"

#include <immintrin.h>

#include "cpu_kernels/avx2/kernels.h"
#include "cpu_kernels/avx2/vector_math.h"

namespace baltoro::kernels::avx2 {
namespace {

struct Vectors {
    using Vec = __m256;
    static constexpr int kLanes = 8;

    static Vec zero() { return _mm256_setzero_ps(); }
    static Vec set(float value) { return _mm256_set1_ps(value); }
    static Vec add(Vec a, Vec b) { return _mm256_add_ps(a, b); }
    static Vec sub(Vec a, Vec b) { return _mm256_sub_ps(a, b); }
    static Vec mul(Vec a, Vec b) { return _mm256_mul_ps(a, b); }
    static Vec div(Vec a, Vec b) { return _mm256_div_ps(a, b); }
    static Vec max(Vec a, Vec b) { return _mm256_max_ps(a, b); }
    static Vec exp(Vec v) { return exp_ps(v); }
    static float first(Vec v) { return _mm256_cvtss_f32(v); }
    static float sum(Vec v) { return add_lanes(v); }
    static float largest(Vec v) { return largest_lane(v); }

    template <class T>
    static Vec load_first(const T* from, ptrdiff_t n) {
        return kernels::load_first(from, n);
    }
    template <class T>
    static void store_first(T* to, ptrdiff_t n, Vec v) {
        kernels::store_first(to, n, v);
    }
    static Vec keep_first(Vec v, ptrdiff_t n, Vec rest) {
        return _mm256_blendv_ps(rest, v, _mm256_castsi256_ps(first_lanes(n)));
    }

    static float sum_of_squares(const float* x, int n) {
        Vec sum[2] = {zero(), zero()};
        int j = 0;
        for (; j + 2 * kLanes <= n; j += 2 * kLanes)
            for (int i = 0; i < 2; ++i) {
                const Vec v = _mm256_loadu_ps(x + j + kLanes * i);
                sum[i] = _mm256_fmadd_ps(v, v, sum[i]);
            }
        for (; j < n; j += kLanes) {
            const Vec v = load_first(x + j, n - j);
            sum[0] = _mm256_fmadd_ps(v, v, sum[0]);
        }
        return add_lanes(_mm256_add_ps(sum[0], sum[1]));
    }
};

}  // namespace

void rms_norm(const RmsNorm& a) noexcept {
    rms_norm_by<Vectors>(a);
}

void softmax_block(const SoftmaxBlock& a) noexcept {
    softmax_block_by<Vectors>(a);
}

void bf16_from_f32(const float* src, bf16_t* dst, size_t n) noexcept {
    convert_by<Vectors>(src, dst, n);
}

void f32_from_bf16(const bf16_t* src, float* dst, size_t n) noexcept {
    convert_by<Vectors>(src, dst, n);
}

void add(const float* src, float* dst, size_t n) noexcept {
    add_by<Vectors>(src, dst, n);
}

void scale(float factor, float* dst, size_t n) noexcept {
    scale_by<Vectors>(factor, dst, n);
}

}  // namespace baltoro::kernels::avx2
