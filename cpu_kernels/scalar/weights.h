#pragma once

#include "cpu_kernels/kernels.h"

namespace baltoro::kernels::scalar {
namespace {

// w[i, j] with its scale, in f32.
[[maybe_unused]] float weight_at(const Weight& w, int i, int j) noexcept {
    const ptrdiff_t at = i * w.stride + j;
    if (w.format == WeightFormat::bf16)
        return float_from_bf16(static_cast<const bf16_t*>(w.data)[at]);
    const int blocks_per_row = n_scale_blocks(w.k);
    const ptrdiff_t block =
        static_cast<ptrdiff_t>(i / kScaleBlock) * blocks_per_row + j / kScaleBlock;
    return float_from_e4m3(static_cast<const e4m3_t*>(w.data)[at]) * w.scale[block];
}

// dst = value, or dst += gain * value at the row that `dst_row` names.
template <typename Args>
void store_product(const Args& a, int r, int i, float value) noexcept {
    const ptrdiff_t row = a.dst_row ? a.dst_row[r] : r;
    if (a.gain)
        a.dst[row * a.dst_stride + i] += a.gain[r] * value;
    else
        a.dst[r * a.dst_stride + i] = value;
}

}  // namespace
}  // namespace baltoro::kernels::scalar
