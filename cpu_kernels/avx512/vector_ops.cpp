#include "cpu_kernels/vector_ops.h"

#include <immintrin.h>

#include "cpu_kernels/avx512/kernels.h"
#include "cpu_kernels/avx512/vector_math.h"

namespace baltoro::kernels::avx512 {
namespace {

struct Vectors {
    using Vec = __m512;
    static constexpr int kLanes = 16;

    static Vec zero() { return _mm512_setzero_ps(); }
    static Vec set(float value) { return _mm512_set1_ps(value); }
    static Vec add(Vec a, Vec b) { return _mm512_add_ps(a, b); }
    static Vec sub(Vec a, Vec b) { return _mm512_sub_ps(a, b); }
    static Vec mul(Vec a, Vec b) { return _mm512_mul_ps(a, b); }
    static Vec div(Vec a, Vec b) { return _mm512_div_ps(a, b); }
    static Vec max(Vec a, Vec b) { return _mm512_max_ps(a, b); }
    static Vec exp(Vec v) { return exp_ps(v); }
    static float first(Vec v) { return _mm512_cvtss_f32(v); }
    static float sum(Vec v) { return _mm512_reduce_add_ps(v); }
    static float largest(Vec v) { return _mm512_reduce_max_ps(v); }

    static Vec load_first(const float* from, ptrdiff_t n) {
        return _mm512_maskz_loadu_ps(first_lanes(n), from);
    }
    static Vec load_first(const bf16_t* from, ptrdiff_t n) {
        return ps_from_bf16(_mm256_maskz_loadu_epi16(first_lanes(n), from));
    }
    static void store_first(float* to, ptrdiff_t n, Vec v) {
        _mm512_mask_storeu_ps(to, first_lanes(n), v);
    }
    static void store_first(bf16_t* to, ptrdiff_t n, Vec v) {
        _mm256_mask_storeu_epi16(to, first_lanes(n), bf16_from_ps(v));
    }
    static Vec keep_first(Vec v, ptrdiff_t n, Vec rest) {
        return _mm512_mask_mov_ps(rest, first_lanes(n), v);
    }

    static float sum_of_squares(const float* x, int n) {
        Vec sum = zero();
        for (int j = 0; j < n; j += kLanes) {
            const Vec v = load_first(x + j, n - j);
            sum = _mm512_fmadd_ps(v, v, sum);
        }
        return _mm512_reduce_add_ps(sum);
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

}  // namespace baltoro::kernels::avx512
