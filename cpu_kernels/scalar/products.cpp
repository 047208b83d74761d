#include <stdint.h>

#include "cpu_kernels/scalar/scalar.h"
#include "cpu_kernels/scalar/scalar_kernels.h"

// Obvious rather than fast: one loop per sum, in the order of the formula.

namespace baltoro::kernels {
namespace {

float weight_at(const Weight& w, int i, int j) noexcept {
    const ptrdiff_t at = i * w.stride + j;
    if (w.format == WeightFormat::bf16)
        return float_from_bf16(static_cast<const bf16_t*>(w.data)[at]);
    return float_from_e4m3(static_cast<const e4m3_t*>(w.data)[at]);
}

float scale_of(const Weight& w, int i, int j) noexcept {
    if (w.format == WeightFormat::bf16) return 1.0f;
    const int blocks_per_row = (w.k + kScaleBlock - 1) / kScaleBlock;
    return w.scale[static_cast<ptrdiff_t>(i / kScaleBlock) * blocks_per_row + j / kScaleBlock];
}

// One row of activations, element j of which lies at x[(j / group) * group_stride + j % group].
struct Activations {
    const bf16_t* x;
    int group;
    ptrdiff_t group_stride;
    float at(int j) const noexcept {
        return float_from_bf16(x[j / group * group_stride + j % group]);
    }
};

// sum_j x[j] * w[i, j], the scale applied once per block.
float dot(const Weight& w, int i, const Activations& x) noexcept {
    float total = 0.0f;
    for (int begin = 0; begin < w.k; begin += kScaleBlock) {
        const int end = begin + kScaleBlock < w.k ? begin + kScaleBlock : w.k;
        float sum = 0.0f;
        for (int j = begin; j < end; j++)
            sum += x.at(j) * weight_at(w, i, j);
        total += sum * scale_of(w, i, begin);
    }
    return total;
}

float gated(float gate, float up) noexcept {
    return gate / (1.0f + __builtin_expf(-gate)) * up;
}

void put(float value,
         int r,
         int i,
         float* dst,
         ptrdiff_t dst_stride,
         const float* gain,
         const int32_t* dst_row) noexcept {
    if (gain == nullptr) {
        dst[r * dst_stride + i] = value;
    } else {
        dst[(dst_row == nullptr ? r : dst_row[r]) * dst_stride + i] += gain[r] * value;
    }
}

Activations panel_row(const bf16_t* panels, int k, int r) noexcept {
    const bf16_t* panel = panels + static_cast<size_t>(r / kPanelRows) * panel_elements(k);
    return {panel + r % kPanelRows * 2, 2, kPanelRows * 2};
}

}  // namespace

void rows_product_scalar(const RowsProduct& args) noexcept {
    for (int r = 0; r < args.n_rows; r++) {
        const Activations x{args.x + r * args.x_stride, args.w.k + 1, 0};
        for (int i = args.range.begin; i < args.range.end; i++)
            put(dot(args.w, i, x), r, i, args.dst, args.dst_stride, args.gain, args.dst_row);
    }
}

void rows_gate_up_scalar(const RowsGateUp& args) noexcept {
    for (int r = 0; r < args.n_rows; r++) {
        const Activations x{args.x + r * args.x_stride, args.gate.k + 1, 0};
        for (int i = args.range.begin; i < args.range.end; i++)
            args.dst[r * args.dst_stride + i] =
                bf16_from_float(gated(dot(args.gate, i, x), dot(args.up, i, x)));
    }
}

void transposed_product_scalar(const TransposedProduct& args) noexcept {
    for (int r = 0; r < args.n_rows; r++) {
        float* dst = args.dst + r * args.dst_stride;
        if (!args.accumulate) {
            for (int j = 0; j < args.w.k; j++)
                dst[j] = 0.0f;
        }
        for (int i = args.range.begin; i < args.range.end; i++) {
            const float x = args.x[r * args.x_stride + i - args.range.begin];
            for (int j = 0; j < args.w.k; j++)
                dst[j] += x * (weight_at(args.w, i, j) * scale_of(args.w, i, j));
        }
    }
}

void router_product_scalar(const RouterProduct& args) noexcept {
    for (int r = 0; r < args.n_rows; r++) {
        const float* x = args.x + static_cast<ptrdiff_t>(r) * args.k;
        for (int i = args.range.begin; i < args.range.end; i++) {
            float sum = 0.0f;
            for (int j = 0; j < args.k; j++) {
                const ptrdiff_t at = static_cast<ptrdiff_t>(i) * args.k + j;
                sum += x[j] *
                       (args.w_f32 != nullptr ? args.w_f32[at] : float_from_bf16(args.w_bf16[at]));
            }
            args.dst[static_cast<ptrdiff_t>(r) * args.n + i] = sum;
        }
    }
}

void pack_panel_scalar(const PackPanel& args) noexcept {
    for (int j = 0; j < padded_depth(args.k); j++) {
        for (int r = 0; r < kPanelRows; r++) {
            const bool is_inside = r < args.n_rows && j < args.k;
            const ptrdiff_t row = is_inside && args.row != nullptr ? args.row[r] : r;
            args.panel[(j / 2 * kPanelRows + r) * 2 + j % 2] =
                is_inside ? args.x[row * args.x_stride + j] : bf16_t{0};
        }
    }
}

void panels_product_scalar(const PanelsProduct& args) noexcept {
    for (int r = 0; r < args.n_rows; r++) {
        const Activations x = panel_row(args.panels, args.w.k, r);
        for (int i = args.range.begin; i < args.range.end; i++)
            put(dot(args.w, i, x), r, i, args.dst, args.dst_stride, args.gain, args.dst_row);
    }
}

void panels_gate_up_scalar(const PanelsGateUp& args) noexcept {
    const int n_panels = (args.n_rows + kPanelRows - 1) / kPanelRows;
    for (int r = 0; r < n_panels * kPanelRows; r++) {
        const Activations x = panel_row(args.panels, args.gate.k, r);
        bf16_t* panel =
            args.dst_panels + static_cast<size_t>(r / kPanelRows) * panel_elements(args.gate.n);
        for (int i = args.range.begin; i < args.range.end; i++) {
            const float value =
                r < args.n_rows ? gated(dot(args.gate, i, x), dot(args.up, i, x)) : 0.0f;
            panel[(i / 2 * kPanelRows + r % kPanelRows) * 2 + i % 2] = bf16_from_float(value);
        }
    }
}

size_t panel_scratch_bytes_scalar(int /*k*/, int /*n_rows*/) noexcept {
    return 0;
}

}  // namespace baltoro::kernels
