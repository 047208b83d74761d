#include <math.h>

#include "cpu_kernels/scalar/kernels.h"
#include "cpu_kernels/scalar/weights.h"

namespace baltoro::kernels::scalar {
namespace {

float dot(const Weight& w, int i, const bf16_t* x) noexcept {
    float sum = 0.0f;
    for (int j = 0; j < w.k; ++j)
        sum += float_from_bf16(x[j]) * weight_at(w, i, j);
    return sum;
}

}  // namespace

float silu(float z) noexcept {
    return z / (1.0f + expf(-z));
}

void rows_product(const RowsProduct& a) noexcept {
    for (int i = a.range.begin; i < a.range.end; ++i)
        for (int r = 0; r < a.n_rows; ++r)
            store_product(a, r, i, dot(a.w, i, a.x + r * a.x_stride));
}

void rows_gate_up(const RowsGateUp& a) noexcept {
    for (int i = a.range.begin; i < a.range.end; ++i)
        for (int r = 0; r < a.n_rows; ++r) {
            const bf16_t* x = a.x + r * a.x_stride;
            a.dst[r * a.dst_stride + i] =
                bf16_from_float(silu(dot(a.gate, i, x)) * dot(a.up, i, x));
        }
}

void transposed_product(const TransposedProduct& a) noexcept {
    for (int r = 0; r < a.n_rows; ++r) {
        const float* x = a.x + r * a.x_stride;
        float* dst = a.dst + r * a.dst_stride;
        for (int j = 0; j < a.w.k; ++j) {
            float sum = a.accumulate ? dst[j] : 0.0f;
            for (int i = a.range.begin; i < a.range.end; ++i)
                sum += x[i - a.range.begin] * weight_at(a.w, i, j);
            dst[j] = sum;
        }
    }
}

void router_product(const RouterProduct& a) noexcept {
    for (int r = 0; r < a.n_rows; ++r)
        for (int i = a.range.begin; i < a.range.end; ++i) {
            float sum = 0.0f;
            for (int j = 0; j < a.k; ++j) {
                const ptrdiff_t at = static_cast<ptrdiff_t>(i) * a.k + j;
                const float w = a.w_f32 ? a.w_f32[at] : float_from_bf16(a.w_bf16[at]);
                sum += a.x[static_cast<ptrdiff_t>(r) * a.k + j] * w;
            }
            a.dst[static_cast<ptrdiff_t>(r) * a.n + i] = sum;
        }
}

}  // namespace baltoro::kernels::scalar
