#pragma once

// Vector operations, for every level with vectors. `V` wraps them:
//   Vec, kLanes, zero, set, add, sub, mul, div, max, exp; first, sum, largest (of the lanes)
//   load_first(from, n), store_first(to, n, v)   the first n elements, f32 or bf16; n > 0
//   keep_first(v, n, rest)                       the first n lanes of v, then those of `rest`
//   sum_of_squares(x, n)

#include "cpu_kernels/kernels.h"

namespace baltoro::kernels {
namespace {

template <class V>
void softmax_row(float* s, int n_valid, const SoftmaxBlock& a, int r) noexcept {
    using Vec = typename V::Vec;
    const Vec scale = V::set(a.scale);
    const Vec lowest = V::set(-__builtin_inff());
    Vec largest = V::set(a.m[r]);
    for (int j = 0; j < n_valid; j += V::kLanes) {
        const Vec v = V::mul(scale, V::load_first(s + j, n_valid - j));
        largest = V::max(largest, V::keep_first(v, n_valid - j, lowest));
    }
    const float m = V::largest(largest);
    // While every score is -infinity nothing has weight; subtracting 0 keeps exp(-inf) = 0.
    const Vec origin = V::set(m == -__builtin_inff() ? 0.0f : m);
    Vec sum = V::zero();
    for (int j = 0; j < n_valid; j += V::kLanes) {
        const Vec v = V::mul(scale, V::load_first(s + j, n_valid - j));
        const Vec p = V::keep_first(V::exp(V::sub(v, origin)), n_valid - j, V::zero());
        V::store_first(s + j, n_valid - j, p);
        sum = V::add(sum, p);
    }
    const float correction = V::first(V::exp(V::sub(V::set(a.m[r]), origin)));
    a.l[r] = a.l[r] * correction + V::sum(sum);
    a.m[r] = m;
    a.correction[r] = correction;
}

template <class V>
void softmax_block_by(const SoftmaxBlock& a) noexcept {
    for (int r = 0; r < a.n_rows; ++r) {
        float* s = a.s + r * a.stride;
        const int n_valid = a.valid[r] < 0 ? 0 : a.valid[r] < a.n ? a.valid[r] : a.n;
        if (n_valid == 0)
            a.correction[r] = 1.0f;
        else
            softmax_row<V>(s, n_valid, a, r);
        for (int j = n_valid; j < a.n; j += V::kLanes)
            V::store_first(s + j, a.n - j, V::zero());
    }
}

template <class V>
void rms_norm_by(const RmsNorm& a) noexcept {
    using Vec = typename V::Vec;
    for (int r = 0; r < a.n_rows; ++r) {
        const float* x = a.src + r * a.src_stride;
        const float mean = V::sum_of_squares(x, a.n) / static_cast<float>(a.n);
        const Vec norm = V::set(__builtin_sqrtf(mean + a.eps));
        for (int j = 0; j < a.n; j += V::kLanes) {
            const int left = a.n - j;
            const Vec gain = V::load_first(a.gain + j, left);
            const Vec y = V::mul(gain, V::div(V::load_first(x + j, left), norm));
            const ptrdiff_t at = static_cast<ptrdiff_t>(r) * a.n + j;
            if (a.dst_f32) V::store_first(a.dst_f32 + at, left, y);
            if (a.dst_bf16) V::store_first(a.dst_bf16 + at, left, y);
        }
    }
}

template <class V, class From, class To>
void convert_by(const From* src, To* dst, size_t n) noexcept {
    for (size_t i = 0; i < n; i += V::kLanes) {
        const auto left = static_cast<ptrdiff_t>(n - i);
        V::store_first(dst + i, left, V::load_first(src + i, left));
    }
}

template <class V>
void add_by(const float* src, float* dst, size_t n) noexcept {
    for (size_t i = 0; i < n; i += V::kLanes) {
        const auto left = static_cast<ptrdiff_t>(n - i);
        V::store_first(dst + i, left,
                       V::add(V::load_first(dst + i, left), V::load_first(src + i, left)));
    }
}

template <class V>
void scale_by(float factor, float* dst, size_t n) noexcept {
    for (size_t i = 0; i < n; i += V::kLanes) {
        const auto left = static_cast<ptrdiff_t>(n - i);
        V::store_first(dst + i, left, V::mul(V::load_first(dst + i, left), V::set(factor)));
    }
}

}  // namespace
}  // namespace baltoro::kernels
