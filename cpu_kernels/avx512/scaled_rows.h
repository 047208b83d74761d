#pragma once

// Activations of the row kernels in f32: widened and multiplied with the weights' scales, once per
// 128 weight rows, since these have their scales in common. A sum is then one chain of
// multiply-adds, with nothing to convert and no scale to apply.

#include <string.h>

#include "cpu_kernels/code_bytes.h"
#include "cpu_kernels/weight_rows.h"

namespace baltoro::kernels {
namespace {

// Activation rows, each scale block multiplied with the weights' scale: f32, the elements of each
// unit in the order of V, zeros up to a multiple of kScaleBlock.
struct ScaledRows {
    const float* x;
    ptrdiff_t stride;
};

// Elements. Rows of K2's dimensions would all begin at one address within their pages; one scale
// block more keeps 16 of them from the same few cache sets.
inline ptrdiff_t scaled_stride(int k) {
    return static_cast<ptrdiff_t>(n_scale_blocks(k) + 1) * kScaleBlock;
}

inline size_t scaled_elements(int k) {
    return static_cast<size_t>(scaled_stride(k)) * kMaxRows;
}

template <class V>
inline void scale_block(const bf16_t* from, float scale, float* to) {
    constexpr int kUnit = 4 * V::kLanes;
    for (int j = 0; j < kScaleBlock; j += kUnit) {
        typename V::Vec v[4];
        V::widen_bf16(reinterpret_cast<const uint8_t*>(from + j), v);
        for (int i = 0; i < 4; ++i)
            V::store(to + j + i * V::kLanes, V::mul(v[i], V::set(scale)));
    }
}

// The rows for weight rows whose scales begin at `scales` (null: none); written to `to`.
template <class V>
ScaledRows scale_rows(
    const ActivationRows& x, int n_rows, int k, const float* scales, float* to) noexcept {
    const ptrdiff_t stride = scaled_stride(k);
    for (int r = 0; r < n_rows; ++r) {
        const bf16_t* const from = x.x + r * x.stride;
        for (ptrdiff_t j = 0; j < k; j += kScaleBlock) {
            const float scale = scales ? kFp8Divisor * scales[j / kScaleBlock] : 1.0f;
            if (j + kScaleBlock <= k) {
                scale_block<V>(from + j, scale, to + r * stride + j);
                continue;
            }
            bf16_t end[kScaleBlock] = {};
            memcpy(end, from + j, static_cast<size_t>(k - j) * sizeof(bf16_t));
            scale_block<V>(end, scale, to + r * stride + j);
        }
    }
    return {to, stride};
}

}  // namespace
}  // namespace baltoro::kernels
