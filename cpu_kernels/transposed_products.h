#pragma once

// The transposed product in f32. `V` wraps the level's vectors (Vec, kLanes,
// zero, set, load, store, fma, Decoder, widen_fp8 as in the level's products.cpp) with
//   kTransposedRows              activation rows whose sums with two vectors fit the registers
//   split_bf16(from, to)         the even and the odd ones of 2 kLanes bf16
//   deinterleave, interleave(v)  two vectors in order <-> the even and the odd ones
// Columns are summed in the order in which weights are decoded and put in order at the end.

#include <string.h>

#include "cpu_kernels/announce.h"
#include "cpu_kernels/code_bytes.h"
#include "cpu_kernels/weight_rows.h"

namespace baltoro::kernels {
namespace {

// Vectors of columns that are decoded together.
template <WeightFormat F>
constexpr int kColumnVecs = F == WeightFormat::bf16 ? 2 : 4;

// The column at which widen_fp8 leaves lane `lane` of vector `v`.
constexpr int column_of_fp8(int v, int lane) {
    return 4 * lane + v;
}

template <class V, WeightFormat F>
inline void load_sums(const float* from, typename V::Vec (&to)[kColumnVecs<F>]) {
    if constexpr (F == WeightFormat::bf16) {
        to[0] = V::load(from);
        to[1] = V::load(from + V::kLanes);
        V::deinterleave(to);
    } else {
        float ordered[V::kLanes];
        for (int v = 0; v < kColumnVecs<F>; ++v) {
            for (int lane = 0; lane < V::kLanes; ++lane)
                ordered[lane] = from[column_of_fp8(v, lane)];
            to[v] = V::load(ordered);
        }
    }
}

template <class V, WeightFormat F>
inline void store_sums(typename V::Vec (&from)[kColumnVecs<F>], float* to) {
    if constexpr (F == WeightFormat::bf16) {
        V::interleave(from);
        V::store(to, from[0]);
        V::store(to + V::kLanes, from[1]);
    } else {
        float lanes[V::kLanes];
        for (int v = 0; v < kColumnVecs<F>; ++v) {
            V::store(lanes, from[v]);
            for (int lane = 0; lane < V::kLanes; ++lane)
                to[column_of_fp8(v, lane)] = lanes[lane];
        }
    }
}

// Fp8 columns come from memory, 64 bytes of a row at a time, which no CPU foresees; bf16 is the
// latent cache, just read.
template <WeightFormat F>
__attribute__((always_inline)) inline void announce_row(const TransposedProduct& a,
                                                        int i,
                                                        int j,
                                                        int n_columns) {
    if constexpr (F == WeightFormat::fp8_block) {
        constexpr int kRowsAhead = 16;
        const int ahead = i + kRowsAhead;
        const bool is_inside = ahead < a.range.end;
        const int row = is_inside ? ahead : ahead - (a.range.end - a.range.begin);
        if (row < a.range.begin) return;  // a short range
        const uint8_t* at = weight_row(a.w, row) + (is_inside ? j : j + n_columns);
        announce_lines<64, kFirstLevel>(at);
    }
}

// Columns from j on for R activation rows.
template <class V, WeightFormat F, int R>
void transposed_columns(const TransposedProduct& a, int r0, int j) noexcept {
    constexpr int kVecs = kColumnVecs<F>;
    const typename V::Decoder decoder;
    typename V::Vec sum[R][kVecs];
    for (int r = 0; r < R; ++r) {
        if (a.accumulate) {
            load_sums<V, F>(a.dst + (r0 + r) * a.dst_stride + j, sum[r]);
            continue;
        }
        for (int v = 0; v < kVecs; ++v)
            sum[r][v] = V::zero();
    }
    for (int i = a.range.begin; i < a.range.end; ++i) {
        announce_row<F>(a, i, j, kVecs * V::kLanes);
        const uint8_t* from = weight_row(a.w, i) + static_cast<ptrdiff_t>(j) * kWeightBytes<F>;
        const float* x = a.x + r0 * a.x_stride + i - a.range.begin;
        typename V::Vec w[kVecs];
        float scale = 1.0f;
        if constexpr (F == WeightFormat::bf16) {
            V::split_bf16(from, w);
        } else {
            V::widen_fp8(decoder, from, w);
            scale = kFp8Divisor * scale_row(a.w, i)[j / kScaleBlock];
        }
        for (int r = 0; r < R; ++r) {
            const float factor = x[r * a.x_stride];
            const auto f = V::set(F == WeightFormat::bf16 ? factor : factor * scale);
            for (int v = 0; v < kVecs; ++v)
                sum[r][v] = V::fma(f, w[v], sum[r][v]);
        }
    }
    for (int r = 0; r < R; ++r)
        store_sums<V, F>(sum[r], a.dst + (r0 + r) * a.dst_stride + j);
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
    constexpr int kColumns = kColumnVecs<F> * V::kLanes;
    constexpr int kRows = V::kTransposedRows * 2 / kColumnVecs<F>;
    int j = 0;
    for (; j + kColumns <= a.w.k; j += kColumns) {
        int r = 0;
        for (; r + kRows <= a.n_rows; r += kRows)
            transposed_columns<V, F, kRows>(a, r, j);
        for (; r + kRows / 2 <= a.n_rows; r += kRows / 2)
            transposed_columns<V, F, kRows / 2>(a, r, j);
        for (; r < a.n_rows; ++r)
            transposed_columns<V, F, 1>(a, r, j);
    }
    transposed_end<V, F>(a, j);
}

template <class V>
void transposed_product_of(const TransposedProduct& a) noexcept {
    with_format(a.w.format, [&]<WeightFormat F>() { transposed_product_in<V, F>(a); });
}

}  // namespace
}  // namespace baltoro::kernels
