#pragma once

// Where the rows of a weight and their scales are. Everything has internal linkage, because each
// including file is compiled for another instruction set.

#include "cpu_kernels/kernels.h"

namespace baltoro::kernels {
namespace {

struct ActivationRows {
    const bf16_t* x;
    ptrdiff_t stride;
};

template <WeightFormat F>
constexpr int kWeightBytes = F == WeightFormat::bf16 ? 2 : 1;

// run.operator()<F>() with F = format.
template <class Run>
inline void with_format(WeightFormat format, const Run& run) {
    if (format == WeightFormat::bf16)
        run.template operator()<WeightFormat::bf16>();
    else
        run.template operator()<WeightFormat::fp8_block>();
}

inline int bytes_per_weight(WeightFormat format) {
    return format == WeightFormat::bf16 ? 2 : 1;
}

inline const uint8_t* weight_row(const Weight& w, int i) {
    return static_cast<const uint8_t*>(w.data) + i * w.stride * bytes_per_weight(w.format);
}

inline const float* scale_row(const Weight& w, int i) {
    if (w.format == WeightFormat::bf16) return nullptr;
    return w.scale + static_cast<ptrdiff_t>(i / kScaleBlock) * n_scale_blocks(w.k);
}

// Where the results of activation row r go: RowsProduct and PanelsProduct say it in the same words.
template <class Product>
inline float* result_row(const Product& a, int r) {
    return a.dst + (a.gain && a.dst_row ? a.dst_row[r] : r) * a.dst_stride;
}

// The end of the weight rows from `begin` on that have their scales in common.
inline int same_scales_end(const RowRange& range, int begin) {
    const int end = (begin / kScaleBlock + 1) * kScaleBlock;
    return end < range.end ? end : range.end;
}

}  // namespace
}  // namespace baltoro::kernels
