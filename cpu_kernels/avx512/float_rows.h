#pragma once

// Row kernels in f32, for CPUs without bf16 arithmetic. `V` wraps the level's vectors:
//   Vec, kLanes, zero, set, load, store, mul, fma; sum8 (of the lanes of each of eight);
//   kGroup      weight rows read side by side, or half of them with more than two activation rows
//   kFewRows    activation rows for which weights are decoded as they are used
//   Decoder, and in units of 4 kLanes elements, as four vectors in one order that both share:
//   widen_bf16(from, to) and widen_fp8(decoder, codes, to), which comes divided by kFp8Divisor
// The activations come from scaled_rows.h.

#include <string.h>

#include "cpu_kernels/avx512/row_groups.h"
#include "cpu_kernels/avx512/scaled_rows.h"
#include "cpu_kernels/registers.h"

namespace baltoro::kernels {
namespace {

// A unit of 4 kLanes weights.
template <class V, WeightFormat F>
inline void widen_unit(const typename V::Decoder& decoder,
                       const uint8_t* from,
                       typename V::Vec (&to)[4]) {
    if constexpr (F == WeightFormat::bf16)
        V::widen_bf16(from, to);
    else
        V::widen_fp8(decoder, from, to);
}

// Calls use_block(address of each row's block, where it begins, its length) for every scale block
// of the group and announces what follows. The last length is a multiple of a unit; what the rows
// lack of it comes from copies padded with zeros.
template <class V, WeightFormat F, int W, class UseBlock>
inline void for_each_block(const WeightRows& rows, const UseBlock& use_block) {
    constexpr int kBytes = kWeightBytes<F>;
    constexpr int kUnit = 4 * V::kLanes;
    const uint8_t* at[W];
    ptrdiff_t j = 0;
    for (; j + kScaleBlock <= rows.k; j += kScaleBlock) {
        for (int s = 0; s < W; ++s) {
            at[s] = rows.row[s] + j * kBytes;
            prefetch_block<F>(rows.row[s], rows.next[s], s & 1, j, rows.k);
        }
        use_block(at, j, kScaleBlock);
    }
    if (j == rows.k) return;
    const int rest = static_cast<int>(rows.k - j);
    const int length = (rest + kUnit - 1) / kUnit * kUnit;
    uint8_t end[W][kScaleBlock * kBytes];
    for (int s = 0; s < W; ++s) {
        at[s] = rows.row[s] + j * kBytes;
        if (rest == length) continue;
        memcpy(end[s], at[s], static_cast<size_t>(rest) * kBytes);
        memset(end[s] + rest * kBytes, 0, static_cast<size_t>(length - rest) * kBytes);
        at[s] = end[s];
    }
    use_block(at, j, length);
}

// sums[s][r] = the lanes of v[r][s] added, eight vectors at a time, in the same order for each.
template <class V, int W>
inline void store_lane_sums(const typename V::Vec (*v)[W], int n_rows, GroupSums& sums) {
    for (int first = 0; first < n_rows * W; first += 8) {
        typename V::Vec eight[8];
        for (int i = 0; i < 8; ++i) {
            const int at = first + i < n_rows * W ? first + i : first;
            eight[i] = v[at / W][at % W];
        }
        float sum[8];
        V::sum8(eight, sum);
        for (int i = 0; i < 8 && first + i < n_rows * W; ++i)
            sums[(first + i) % W][(first + i) / W] = sum[i];
    }
}

// sums[s][r] of W weight rows and R activation rows, each weight decoded as it is used.
template <class V, WeightFormat F, int W, int R>
void few_float_dots(const WeightRows& rows, const ScaledRows& x, GroupSums& sums) noexcept {
    using Vec = typename V::Vec;
    constexpr int kUnit = 4 * V::kLanes;
    const typename V::Decoder decoder;
    Vec sum[R][W];
    for (int r = 0; r < R; ++r)
        for (int s = 0; s < W; ++s)
            sum[r][s] = V::zero();
    for_each_block<V, F, W>(rows, [&](const uint8_t* const(&at)[W], ptrdiff_t j, int length) {
        for (int u = 0; u < length; u += kUnit)
// Or the compiler keeps the sums in memory.
#pragma GCC unroll 8
            for (int s = 0; s < W; ++s) {
                Vec w[4];
                widen_unit<V, F>(decoder, at[s] + u * kWeightBytes<F>, w);
                for (int i = 0; i < 4; ++i)
                    for (int r = 0; r < R; ++r) {
                        const float* const at_x = x.x + r * x.stride + j + u + i * V::kLanes;
                        sum[r][s] = V::fma(w[i], V::load(at_x), sum[r][s]);
                    }
            }
    });
    store_lane_sums<V, W>(sum, R, sums);
}

// Elements decoded before they are multiplied. Every store delays the multiplications by 0.6 cycles
// (Emerald Rapids), so sums are stored as rarely as the first cache level allows.
template <class V>
constexpr int kDepth = 32 * V::kLanes;

// A stretch of W weight rows, decoded; the sums so far with each activation row.
template <class V, int W>
struct FloatGroup {
    typename V::Vec weight[kDepth<V> / V::kLanes][W];
    typename V::Vec sum[kMaxRows][W];
    int depth;
};

// sum[r][s] += the decoded stretch times R activation rows from r0 on. Announcing the rows of the
// next tile gave nothing.
template <class V, int W, int R>
inline void multiply_float_tile(FloatGroup<V, W>& group, const ScaledRows& x, int r0) {
    using Vec = typename V::Vec;
    Vec sum[R][W];
    for (int r = 0; r < R; ++r)
        for (int s = 0; s < W; ++s)
            sum[r][s] = group.sum[r0 + r][s];
    for (int j = 0; j < group.depth; j += V::kLanes) {
        Vec a[R];
#pragma GCC unroll 3
        for (int r = 0; r < R; ++r)
            a[r] = V::load(x.x + r * x.stride + j);
#pragma GCC unroll 8
        for (int s = 0; s < W; ++s) {
            Vec w = group.weight[j / V::kLanes][s];
            keep_in_register(w);
#pragma GCC unroll 3
            for (int r = 0; r < R; ++r)
                sum[r][s] = V::fma(w, a[r], sum[r][s]);
        }
    }
    for (int r = 0; r < R; ++r)
        for (int s = 0; s < W; ++s)
            group.sum[r0 + r][s] = sum[r][s];
}

// All n activation rows, x being where the stretch begins, in tiles of three and fewer, but of one
// row only if there are no more.
template <class V, int W>
inline void multiply_float_rows(FloatGroup<V, W>& group, ScaledRows x, int n) {
    int r = 0;
    for (; n - r == 3 || n - r > 4; r += 3, x.x += 3 * x.stride)
        multiply_float_tile<V, W, 3>(group, x, r);
    for (; n - r >= 2; r += 2, x.x += 2 * x.stride)
        multiply_float_tile<V, W, 2>(group, x, r);
    if (r < n) multiply_float_tile<V, W, 1>(group, x, r);
}

// Decodes a block of W weight rows behind what the group has.
template <class V, WeightFormat F, int W>
inline void append_block(const typename V::Decoder& decoder,
                         const uint8_t* const (&at)[W],
                         int length,
                         FloatGroup<V, W>& group) {
    constexpr int kUnit = 4 * V::kLanes;
    auto* const to = group.weight + group.depth / V::kLanes;
    for (int s = 0; s < W; ++s)
        for (int u = 0; u < length / kUnit; ++u) {
            typename V::Vec w[4];
            widen_unit<V, F>(decoder, at[s] + u * kUnit * kWeightBytes<F>, w);
            for (int i = 0; i < 4; ++i)
                to[4 * u + i][s] = w[i];
        }
    group.depth += length;
}

// sums[s][r] of W weight rows and many activation rows; weights are decoded once.
template <class V, WeightFormat F, int W>
void many_float_dots(const WeightRows& rows,
                     const ScaledRows& x,
                     int n_rows,
                     GroupSums& sums) noexcept {
    const typename V::Decoder decoder;
    FloatGroup<V, W> group;
    for (int r = 0; r < n_rows; ++r)
        for (int s = 0; s < W; ++s)
            group.sum[r][s] = V::zero();
    group.depth = 0;
    for_each_block<V, F, W>(rows, [&](const uint8_t* const(&at)[W], ptrdiff_t j, int length) {
        append_block<V, F, W>(decoder, at, length, group);
        const ptrdiff_t end = j + length;
        if (group.depth < kDepth<V> && end < rows.k) return;
        multiply_float_rows<V, W>(group, {x.x + end - group.depth, x.stride}, n_rows);
        group.depth = 0;
    });
    store_lane_sums<V, W>(group.sum, n_rows, sums);
}

// sums[s][r] for G weight rows and n_rows activation rows.
template <class V, WeightFormat F, int G>
void float_group_dots(const WeightRows& rows,
                      const ScaledRows& x,
                      int n_rows,
                      GroupSums& sums) noexcept {
    if (n_rows > V::kFewRows) return many_float_dots<V, F, G>(rows, x, n_rows, sums);
    static_assert(V::kFewRows == 4);
    if (n_rows == 4) return few_float_dots<V, F, G, 4>(rows, x, sums);
    if (n_rows == 3) return few_float_dots<V, F, G, 3>(rows, x, sums);
    if (n_rows == 2) return few_float_dots<V, F, G, 2>(rows, x, sums);
    if (n_rows == 1) return few_float_dots<V, F, G, 1>(rows, x, sums);
}

// Calls body.operator()<G>() with G = the weight rows to read side by side: those whose sums with
// few activation rows fit the registers.
template <class V, class Body>
inline void with_group_size(int n_rows, const Body& body) {
    static_assert(V::kGroup <= kMostGroup);
    if (n_rows <= 2 || n_rows > V::kFewRows) return body.template operator()<V::kGroup>();
    body.template operator()<V::kGroup / 2>();
}

// Makes `rows` the n rows of w from i on, followed by the rows of `next` from next_i on.
inline void set_rows_before(
    WeightRows& rows, const Weight& w, int i, const Weight& next, int next_i, int n) {
    rows.k = w.k;
    for (int s = 0; s < n; ++s) {
        rows.row[s] = weight_row(w, i + s);
        rows.next[s] = weight_row(next, next_i + s);
    }
}

template <class V, WeightFormat F, int G>
void float_product_group(const RowsProduct& a, const ScaledRows& x, int i) noexcept {
    WeightRows rows;
    GroupSums sums;
    set_rows_before(rows, a.w, i, a.w, i + 2 * G <= a.range.end ? i + G : i, G);
    float_group_dots<V, F, G>(rows, x, a.n_rows, sums);
    store_products<G>(a, i, sums);
}

template <class Level, WeightFormat F, int G>
void float_gate_up_group(const RowsGateUp& a,
                         const ScaledRows& x_gate,
                         const ScaledRows& x_up,
                         int i) noexcept {
    using V = typename Level::V;
    WeightRows rows;
    GroupSums gate;
    GroupSums up;
    set_rows_before(rows, a.gate, i, a.up, i, G);
    float_group_dots<V, F, G>(rows, x_gate, a.n_rows, gate);
    set_rows_before(rows, a.up, i, a.gate, i + 2 * G <= a.range.end ? i + G : i, G);
    float_group_dots<V, F, G>(rows, x_up, a.n_rows, up);
    store_gate_up<Level, G>(a, i, gate, up);
}

template <class V, WeightFormat F>
void float_rows_product_in(const RowsProduct& a) noexcept {
    for (int i = a.range.begin; i < a.range.end;) {
        const int end = same_scales_end(a.range, i);
        const ScaledRows x = scale_rows<V>({a.x, a.x_stride}, a.n_rows, a.w.k, scale_row(a.w, i),
                                           static_cast<float*>(a.scratch));
        with_group_size<V>(a.n_rows, [&]<int G>() {
            for (; i + G <= end; i += G)
                float_product_group<V, F, G>(a, x, i);
            for (; i < end; ++i)
                float_product_group<V, F, 1>(a, x, i);
        });
    }
}

template <class Level, WeightFormat F>
void float_rows_gate_up_in(const RowsGateUp& a) noexcept {
    using V = typename Level::V;
    const ActivationRows activations = {a.x, a.x_stride};
    const int k = a.gate.k;
    float* const scratch = static_cast<float*>(a.scratch);
    for (int i = a.range.begin; i < a.range.end;) {
        const int end = same_scales_end(a.range, i);
        const ScaledRows x_gate =
            scale_rows<V>(activations, a.n_rows, k, scale_row(a.gate, i), scratch);
        const ScaledRows x_up = scale_rows<V>(activations, a.n_rows, k, scale_row(a.up, i),
                                              scratch + scaled_elements(k));
        with_group_size<V>(a.n_rows, [&]<int G>() {
            for (; i + G <= end; i += G)
                float_gate_up_group<Level, F, G>(a, x_gate, x_up, i);
            for (; i < end; ++i)
                float_gate_up_group<Level, F, 1>(a, x_gate, x_up, i);
        });
    }
}

template <class Level>
void float_rows_product(const RowsProduct& a) noexcept {
    if (a.w.format == WeightFormat::bf16)
        float_rows_product_in<typename Level::V, WeightFormat::bf16>(a);
    else
        float_rows_product_in<typename Level::V, WeightFormat::fp8_block>(a);
}

template <class Level>
void float_rows_gate_up(const RowsGateUp& a) noexcept {
    if (a.gate.format == WeightFormat::bf16)
        float_rows_gate_up_in<Level, WeightFormat::bf16>(a);
    else
        float_rows_gate_up_in<Level, WeightFormat::fp8_block>(a);
}

inline size_t float_row_scratch_bytes(int k) {
    return 2 * scaled_elements(k) * sizeof(float);
}

}  // namespace
}  // namespace baltoro::kernels
