#pragma once

// Activations of the row kernels in f32: widened and multiplied with the weights' scales, so that a
// sum is one chain of multiply-adds, with nothing to convert and no scale to apply.

#include <immintrin.h>
#include <string.h>

#include "cpu_kernels/avx2/decode.h"
#include "cpu_kernels/weight_rows.h"

namespace baltoro::kernels::avx2 {
namespace {

using Vec = __m256;

// Sums are kept divided by this, so that neither they nor the activations, which take the other
// part of the weights' divisor, leave the range of f32.
constexpr float kSumDivisor = 0x1p60f;

// Elements between rows of activations: whole units, and 64 bytes more, or K2's rows would all
// begin in the same cache sets.
inline ptrdiff_t activation_stride(int k) {
    return static_cast<ptrdiff_t>((k + kUnit - 1) / kUnit) * kUnit + 16;
}

struct Activations {
    const float* x;  // each unit in the order of Unit<F>, zeros up to a whole one
    ptrdiff_t stride;
    int n;
};

template <WeightFormat F>
inline void scale_unit(const bf16_t* from, float scale, float* to) {
    Vec v[4];
    if constexpr (F == WeightFormat::fp8_block) {
        // Unit<fp8_block> has places 0, 2, 1, 3 of every four.
        load_unit_of_bf16(reinterpret_cast<const uint8_t*>(from), v);
        const Vec second = v[1];
        v[1] = v[2];
        v[2] = second;
    } else {
        Unit<F> unit;
        unit.load(reinterpret_cast<const uint8_t*>(from));
        unit.widen(0, v[0], v[1]);
        unit.widen(1, v[2], v[3]);
    }
    for (int i = 0; i < 4; ++i)
        _mm256_storeu_ps(to + i * kLanes, _mm256_mul_ps(v[i], _mm256_set1_ps(scale)));
}

// The rows widened and multiplied with scales[0 .. ], one for every 128 elements (null: none).
template <WeightFormat F>
Activations scale_rows(
    const ActivationRows& x, int n, int k, const float* scales, float* to) noexcept {
    const ptrdiff_t stride = activation_stride(k);
    for (int r = 0; r < n; ++r)
        for (int j = 0; j < k; j += kUnit) {
            const bf16_t* from = x.x + r * x.stride + j;
            const float scale =
                scales ? kShiftDivisor / kSumDivisor * scales[j / kScaleBlock] : 1.0f;
            bf16_t padded[kUnit] = {};
            if (j + kUnit > k) {
                memcpy(padded, from, static_cast<size_t>(k - j) * sizeof(bf16_t));
                from = padded;
            }
            scale_unit<F>(from, scale, to + r * stride + j);
        }
    return {to, stride, n};
}

}  // namespace
}  // namespace baltoro::kernels::avx2
