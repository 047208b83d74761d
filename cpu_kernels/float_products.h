#pragma once

// The transposed and the router's product in f32. `V` wraps the level's vectors as for
// float_rows.h, with ordered_bf16 and ordered_fp8: two vectors of weights in order, fp8 divided by
// 256.

#include <string.h>

#include "cpu_kernels/float_rows.h"

namespace baltoro::kernels {
namespace {

template <class V, WeightFormat F>
inline void widen(const uint8_t* from, typename V::Vec (&to)[2]) {
    if constexpr (F == WeightFormat::bf16)
        V::ordered_bf16(from, to);
    else
        V::ordered_fp8(from, to);
}

// Columns [j, j + 4 lanes) of the transposed product for R activation rows.
template <class V, WeightFormat F, int R>
void transposed_columns(const TransposedProduct& a, int r0, int j) noexcept {
    constexpr int kVecs = 4;
    typename V::Vec sum[R][kVecs];
    for (int r = 0; r < R; ++r)
        for (int v = 0; v < kVecs; ++v)
            sum[r][v] = a.accumulate ? V::load(a.dst + (r0 + r) * a.dst_stride + j + v * V::kLanes)
                                     : V::zero();
    for (int i = a.range.begin; i < a.range.end; ++i) {
        const uint8_t* from = weight_row(a.w, i) + static_cast<ptrdiff_t>(j) * kWeightBytes<F>;
        const float* scales = scale_row(a.w, i);
        const float scale = (scales ? scales[j / kScaleBlock] : 1.0f) *
                            (F == WeightFormat::bf16 ? 1.0f : kFp8Divisor);
        typename V::Vec w[kVecs / 2][2];
        for (int v = 0; v < kVecs / 2; ++v)
            widen<V, F>(from + v * 2 * V::kLanes * kWeightBytes<F>, w[v]);
        for (int r = 0; r < R; ++r) {
            const auto x = V::set(a.x[(r0 + r) * a.x_stride + i - a.range.begin] * scale);
            for (int v = 0; v < kVecs; ++v)
                sum[r][v] = V::fma(x, w[v / 2][v % 2], sum[r][v]);
        }
    }
    for (int r = 0; r < R; ++r)
        for (int v = 0; v < kVecs; ++v)
            V::store(a.dst + (r0 + r) * a.dst_stride + j + v * V::kLanes, sum[r][v]);
}

// Columns from j on, one by one, for shapes that are no multiple of the vectors.
template <class V, WeightFormat F>
void transposed_end(const TransposedProduct& a, int j) noexcept {
    for (; j < a.w.k; ++j)
        for (int r = 0; r < a.n_rows; ++r) {
            float& dst = a.dst[r * a.dst_stride + j];
            float sum = a.accumulate ? dst : 0.0f;
            for (int i = a.range.begin; i < a.range.end; ++i) {
                const uint8_t* at =
                    weight_row(a.w, i) + static_cast<ptrdiff_t>(j) * kWeightBytes<F>;
                bf16_t bits = 0;
                memcpy(&bits, at, kWeightBytes<F>);
                const float* scales = scale_row(a.w, i);
                const float w = F == WeightFormat::bf16
                                    ? float_from_bf16(bits)
                                    : float_from_e4m3(*at) * scales[j / kScaleBlock];
                sum += a.x[r * a.x_stride + i - a.range.begin] * w;
            }
            dst = sum;
        }
}

template <class V, WeightFormat F>
void transposed_product_in(const TransposedProduct& a) noexcept {
    int j = 0;
    for (; j + 4 * V::kLanes <= a.w.k; j += 4 * V::kLanes) {
        int r = 0;
        for (; r + V::kTransposedRows <= a.n_rows; r += V::kTransposedRows)
            transposed_columns<V, F, V::kTransposedRows>(a, r, j);
        for (; r < a.n_rows; ++r)
            transposed_columns<V, F, 1>(a, r, j);
    }
    transposed_end<V, F>(a, j);
}

template <class V>
void transposed_product_of(const TransposedProduct& a) noexcept {
    if (a.w.format == WeightFormat::bf16)
        transposed_product_in<V, WeightFormat::bf16>(a);
    else
        transposed_product_in<V, WeightFormat::fp8_block>(a);
}

// W weight rows from i on with R activation rows from r0 on.
template <class V, bool kBf16, int W, int R>
void router_tile(const RouterProduct& a, int i, int r0) noexcept {
    typename V::Vec sum[W][R];
    for (int s = 0; s < W; ++s)
        for (int r = 0; r < R; ++r)
            sum[s][r] = V::zero();
    const ptrdiff_t k = a.k;
    ptrdiff_t j = 0;
    for (; j + 2 * V::kLanes <= k; j += 2 * V::kLanes)
        for (int s = 0; s < W; ++s) {
            typename V::Vec w[2];
            if constexpr (kBf16) {
                V::ordered_bf16(reinterpret_cast<const uint8_t*>(a.w_bf16 + (i + s) * k + j), w);
            } else {
                w[0] = V::load(a.w_f32 + (i + s) * k + j);
                w[1] = V::load(a.w_f32 + (i + s) * k + j + V::kLanes);
            }
            for (int r = 0; r < R; ++r) {
                const float* x = a.x + (r0 + r) * k + j;
                sum[s][r] = V::fma(V::load(x), w[0], sum[s][r]);
                sum[s][r] = V::fma(V::load(x + V::kLanes), w[1], sum[s][r]);
            }
        }
    for (int s = 0; s < W; ++s)
        for (int r = 0; r < R; ++r) {
            float total = V::sum(sum[s][r]);
            for (ptrdiff_t end = j; end < k; ++end) {
                const ptrdiff_t at = (i + s) * k + end;
                const float w = kBf16 ? float_from_bf16(a.w_bf16[at]) : a.w_f32[at];
                total += a.x[(r0 + r) * k + end] * w;
            }
            a.dst[static_cast<ptrdiff_t>(r0 + r) * a.n + i + s] = total;
        }
}

template <class V, bool kBf16, int W>
void router_rows(const RouterProduct& a, int i) noexcept {
    int r = 0;
    for (; r + 2 <= a.n_rows; r += 2)
        router_tile<V, kBf16, W, 2>(a, i, r);
    if (r < a.n_rows) router_tile<V, kBf16, W, 1>(a, i, r);
}

template <class V, bool kBf16>
void router_product_in(const RouterProduct& a) noexcept {
    int i = a.range.begin;
    for (; i + 4 <= a.range.end; i += 4)
        router_rows<V, kBf16, 4>(a, i);
    for (; i < a.range.end; ++i)
        router_rows<V, kBf16, 1>(a, i);
}

template <class V>
void router_product_of(const RouterProduct& a) noexcept {
    if (a.w_bf16)
        router_product_in<V, true>(a);
    else
        router_product_in<V, false>(a);
}

}  // namespace
}  // namespace baltoro::kernels
