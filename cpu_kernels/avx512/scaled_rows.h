#pragma once

// Activations of the row kernels in f32: widened and multiplied with the weights' scales, once per
// 128 weight rows, since these have their scales in common. A sum is then one chain of
// multiply-adds, with nothing to convert and no scale to apply.

#include <immintrin.h>

#include "cpu_kernels/avx512/unit_decoder.h"
#include "cpu_kernels/avx512/vector_math.h"
#include "cpu_kernels/code_bytes.h"
#include "cpu_kernels/weight_rows.h"

namespace baltoro::kernels {
namespace {

constexpr int kUnitVectors = 4;  // of one row

// n activation rows: for each unit the vectors of the first row, those of the second and so on, in
// the order of UnitHalves; zeros fill the last unit.
struct ScaledRows {
    const __m512* x;
    int n;

    // Row r from unit u on; its next unit is n * kUnitVectors further.
    const __m512* at(int u, int r) const {
        return x + (static_cast<ptrdiff_t>(u) * n + r) * kUnitVectors;
    }
};

inline int n_units(int k) {
    return (k + kUnit - 1) / kUnit;
}

// The first n of a unit, n in any range.
template <WeightFormat F>
inline void scale_unit(const bf16_t* from, ptrdiff_t n, float scale, __m512* to) {
    const __m512i first = _mm512_maskz_loadu_epi16(first_lanes32(n), from);
    const __m512i second = _mm512_maskz_loadu_epi16(first_lanes32(n - 32), from + 32);
    __m512 v[kUnitVectors];
    if constexpr (F == WeightFormat::bf16) {
        split_pairs(first, v[0], v[1]);
        split_pairs(second, v[2], v[3]);
    } else {
        __m512 quads[4];
        split_quads(first, second, quads);
        for (int i = 0; i < 4; ++i)
            v[i] = quads[i % 2 * 2 + i / 2];
    }
    for (int i = 0; i < kUnitVectors; ++i)
        to[i] = _mm512_mul_ps(v[i], _mm512_set1_ps(scale));
}

// n rows of depth k for weight rows whose scales begin at `scales` (null: none). `to` takes
// n_units(k) * n * kUnitVectors.
template <WeightFormat F>
ScaledRows scale_rows(
    const ActivationRows& x, int n, int k, const float* scales, __m512* to) noexcept {
    __m512* at = to;
    for (ptrdiff_t j = 0; j < k; j += kUnit) {
        const float scale = scales ? kFp8Divisor * scales[j / kScaleBlock] : 1.0f;
        for (int r = 0; r < n; ++r, at += kUnitVectors)
            scale_unit<F>(x.x + r * x.stride + j, k - j, scale, at);
    }
    return {to, n};
}

}  // namespace
}  // namespace baltoro::kernels
