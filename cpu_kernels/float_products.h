#pragma once

// Products in f32 for levels without bf16 arithmetic. `V` wraps the level's vectors:
//   slice(R) (the weight rows whose sums with R activation rows fit the registers), kLanes, Vec,
//   zero, set, load, fma, sum, widen_bf16 and widen_fp8 (two vectors of weights in order; fp8 comes
//   divided by 256, which kWeightUnit undoes exactly in the block scale).

#include <string.h>

#include "cpu_kernels/row_groups.h"

namespace baltoro::kernels {
namespace {

template <WeightFormat F>
constexpr int kWeightBytes = F == WeightFormat::bf16 ? 2 : 1;

template <WeightFormat F>
constexpr float kWeightUnit = F == WeightFormat::bf16 ? 1.0f : 256.0f;

template <class V, WeightFormat F>
inline void widen(const uint8_t* from, typename V::Vec (&to)[2]) {
    if constexpr (F == WeightFormat::bf16)
        V::widen_bf16(from, to);
    else
        V::widen_fp8(from, to);
}

// block[s][r] = sum over one scale block.
template <class V, WeightFormat F, int W, int R>
inline void block_dots(const uint8_t* const (&row)[W],
                       const bf16_t* const (&x)[R],
                       typename V::Vec (&block)[W][R]) {
    for (int s = 0; s < W; ++s)
        for (int r = 0; r < R; ++r)
            block[s][r] = V::zero();
    for (int j = 0; j < kScaleBlock; j += 2 * V::kLanes)
        for (int s = 0; s < W; ++s) {
            typename V::Vec w[2];
            widen<V, F>(row[s] + j * kWeightBytes<F>, w);
            for (int r = 0; r < R; ++r) {
                typename V::Vec a[2];
                V::widen_bf16(reinterpret_cast<const uint8_t*>(x[r] + j), a);
                block[s][r] = V::fma(a[0], w[0], block[s][r]);
                block[s][r] = V::fma(a[1], w[1], block[s][r]);
            }
        }
}

template <class V, WeightFormat F, int W, int R>
void float_dots(
    const WeightRows& rows, int s0, const ActivationRows& x, GroupSums& sums, int r0) noexcept {
    using Vec = typename V::Vec;
    constexpr int kBytes = kWeightBytes<F>;
    Vec total[W][R];
    for (int s = 0; s < W; ++s)
        for (int r = 0; r < R; ++r)
            total[s][r] = V::zero();
    const auto add_block = [&](const Vec(&block)[W][R], int b) {
        for (int s = 0; s < W; ++s) {
            const float scale = rows.scale[s0 + s] ? rows.scale[s0 + s][b] : 1.0f;
            for (int r = 0; r < R; ++r)
                total[s][r] = V::fma(block[s][r], V::set(scale * kWeightUnit<F>), total[s][r]);
        }
    };

    Vec block[W][R];
    const uint8_t* w_at[W];
    const bf16_t* x_at[R];
    ptrdiff_t j = 0;
    for (; j + kScaleBlock <= rows.k; j += kScaleBlock) {
        for (int r = 0; r < R; ++r)
            x_at[r] = x.x + r * x.stride + j;
        for (int s = 0; s < W; ++s) {
            w_at[s] = rows.row[s0 + s] + j * kBytes;
            prefetch_block<F>(rows.row[s0 + s], rows.next[s0 + s], s & 1, j, rows.k);
        }
        block_dots<V, F, W, R>(w_at, x_at, block);
        add_block(block, static_cast<int>(j / kScaleBlock));
    }
    if (j < rows.k) {  // the ragged end, from copies padded with zeros
        uint8_t w_end[W][kScaleBlock * kBytes] = {};
        bf16_t x_end[R][kScaleBlock] = {};
        const auto n = static_cast<size_t>(rows.k - j);
        for (int s = 0; s < W; ++s) {
            memcpy(w_end[s], rows.row[s0 + s] + j * kBytes, n * kBytes);
            w_at[s] = w_end[s];
        }
        for (int r = 0; r < R; ++r) {
            memcpy(x_end[r], x.x + r * x.stride + j, n * sizeof(bf16_t));
            x_at[r] = x_end[r];
        }
        block_dots<V, F, W, R>(w_at, x_at, block);
        add_block(block, static_cast<int>(j / kScaleBlock));
    }
    for (int s = 0; s < W; ++s)
        for (int r = 0; r < R; ++r)
            sums[s0 + s][r0 + r] = V::sum(total[s][r]);
}

// Slices of the group, each with as many weight rows as the registers hold next to R sums each.
template <class V, WeightFormat F, int G, int R>
void slice_dots(const WeightRows& rows, const ActivationRows& x, GroupSums& sums, int r) noexcept {
    constexpr int W = G < V::slice(R) ? G : V::slice(R);
    for (int s = 0; s < G; s += W)
        float_dots<V, F, W, R>(rows, s, x, sums, r);
}

// sums[s][r] for G weight rows and n_rows activation rows; four of these share a decode.
template <class V, WeightFormat F, int G>
void float_group_dots(const WeightRows& rows,
                      ActivationRows x,
                      int n_rows,
                      GroupSums& sums) noexcept {
    int r = 0;
    for (; r + 4 <= n_rows; r += 4, x.x += 4 * x.stride)
        slice_dots<V, F, G, 4>(rows, x, sums, r);
    if (n_rows - r == 3) slice_dots<V, F, G, 3>(rows, x, sums, r);
    if (n_rows - r == 2) slice_dots<V, F, G, 2>(rows, x, sums, r);
    if (n_rows - r == 1) slice_dots<V, F, G, 1>(rows, x, sums, r);
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
        const float scale = (scales ? scales[j / kScaleBlock] : 1.0f) * kWeightUnit<F>;
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
                V::widen_bf16(reinterpret_cast<const uint8_t*>(a.w_bf16 + (i + s) * k + j), w);
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
