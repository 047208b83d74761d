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

// Widened fp8 column 4 i + v is lane i of vector v.
template <class V, WeightFormat F>
inline void load_sums(const float* from, typename V::Vec (&to)[kColumnVecs<F>]) {
    using Vec = typename V::Vec;
    if constexpr (F == WeightFormat::bf16) {
        to[0] = V::load(from);
        to[1] = V::load(from + V::kLanes);
        V::deinterleave(to);
    } else {
        Vec half[2][2];
        for (int h = 0; h < 2; ++h, from += 2 * V::kLanes)
            load_sums<V, WeightFormat::bf16>(from, half[h]);
        for (int v = 0; v < 2; ++v) {
            Vec pair[2] = {half[0][v], half[1][v]};
            V::deinterleave(pair);
            to[v] = pair[0];
            to[v + 2] = pair[1];
        }
    }
}

template <class V, WeightFormat F>
inline void store_sums(typename V::Vec (&from)[kColumnVecs<F>], float* to) {
    using Vec = typename V::Vec;
    if constexpr (F == WeightFormat::bf16) {
        V::interleave(from);
        V::store(to, from[0]);
        V::store(to + V::kLanes, from[1]);
    } else {
        Vec even[2] = {from[0], from[2]};
        Vec odd[2] = {from[1], from[3]};
        V::interleave(even);
        V::interleave(odd);
        for (int h = 0; h < 2; ++h, to += 2 * V::kLanes) {
            Vec pair[2] = {even[h], odd[h]};
            store_sums<V, WeightFormat::bf16>(pair, to);
        }
    }
}

// Fp8 columns are gone through a piece of each row at a time, which no CPU foresees: the piece is
// announced 16 rows ahead, and a narrow one with the rest of its row the first time. Bf16 is the
// latent cache, just read.
template <WeightFormat F, int Columns>
__attribute__((always_inline)) inline void announce_row(const TransposedProduct& a,
                                                        int i,
                                                        int j,
                                                        bool is_first) {
    if constexpr (F == WeightFormat::fp8_block) {
        constexpr int kRowsAhead = 16;
        const int ahead = i + kRowsAhead;
        const bool is_inside = ahead < a.range.end;
        const int row = is_inside ? ahead : ahead - (a.range.end - a.range.begin);
        if (row < a.range.begin) return;  // a short range
        const uint8_t* at = weight_row(a.w, row) + (is_inside ? j : j + Columns);
        announce_lines<Columns, kFirstLevel>(at);
        if (Columns <= 64 && is_first && is_inside)
            for (int column = Columns; column < a.w.k; column += 64)
                announce_lines<64, kSecondLevel>(at + column);
    }
}

// U units of columns from j on for R activation rows.
template <class V, WeightFormat F, int R, int U>
void transposed_columns(const TransposedProduct& a, int r0, int j) noexcept {
    constexpr int kVecs = kColumnVecs<F>;
    constexpr int kColumns = kVecs * V::kLanes;
    const typename V::Decoder decoder;
    typename V::Vec sum[R][U][kVecs];
    for (int r = 0; r < R; ++r)
        for (int u = 0; u < U; ++u) {
            if (a.accumulate) {
                load_sums<V, F>(a.dst + (r0 + r) * a.dst_stride + j + u * kColumns, sum[r][u]);
                continue;
            }
            for (int v = 0; v < kVecs; ++v)
                sum[r][u][v] = V::zero();
        }
    for (int i = a.range.begin; i < a.range.end; ++i) {
        announce_row<F, U * kColumns>(a, i, j, r0 == 0 && j == 0);
        const uint8_t* from = weight_row(a.w, i) + static_cast<ptrdiff_t>(j) * kWeightBytes<F>;
        const float* x = a.x + r0 * a.x_stride + i - a.range.begin;
#pragma GCC unroll 4
        for (int u = 0; u < U; ++u, from += kColumns * kWeightBytes<F>) {
            typename V::Vec w[kVecs];
            float scale = 1.0f;
            if constexpr (F == WeightFormat::bf16) {
                V::split_bf16(from, w);
            } else {
                V::widen_fp8(decoder, from, w);
                scale = kFp8Divisor * scale_row(a.w, i)[(j + u * kColumns) / kScaleBlock];
            }
            for (int r = 0; r < R; ++r) {
                const float factor = x[r * a.x_stride];
                const auto f = V::set(F == WeightFormat::bf16 ? factor : factor * scale);
                for (int v = 0; v < kVecs; ++v)
                    sum[r][u][v] = V::fma(f, w[v], sum[r][u][v]);
            }
        }
    }
    for (int r = 0; r < R; ++r)
        for (int u = 0; u < U; ++u)
            store_sums<V, F>(sum[r][u], a.dst + (r0 + r) * a.dst_stride + j + u * kColumns);
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

// All whole units of columns for R activation rows, U of them at a time.
template <class V, WeightFormat F, int R, int U>
void transposed_rows(const TransposedProduct& a, int r0) noexcept {
    constexpr int kColumns = kColumnVecs<F> * V::kLanes;
    int j = 0;
    for (; j + U * kColumns <= a.w.k; j += U * kColumns)
        transposed_columns<V, F, R, U>(a, r0, j);
    for (; j + kColumns <= a.w.k; j += kColumns)
        transposed_columns<V, F, R, 1>(a, r0, j);
}

template <class V, WeightFormat F>
void transposed_product_in(const TransposedProduct& a) noexcept {
    constexpr int kColumns = kColumnVecs<F> * V::kLanes;
    constexpr int kRows = V::kTransposedRows * 2 / kColumnVecs<F>;
    const int whole_end = a.w.k / kColumns * kColumns;
    int r = a.n_rows / kRows * kRows;
    for (int j = 0; j < whole_end; j += kColumns)
        for (int r0 = 0; r0 < r; r0 += kRows)
            transposed_columns<V, F, kRows, 1>(a, r0, j);
    // Fewer rows leave registers for more columns.
    for (; r + kRows / 2 <= a.n_rows; r += kRows / 2)
        transposed_rows<V, F, kRows / 2, 2>(a, r);
    for (; r < a.n_rows; ++r)
        transposed_rows<V, F, 1, 4>(a, r);
    transposed_end<V, F>(a, whole_end);
}

template <class V>
void transposed_product_of(const TransposedProduct& a) noexcept {
    with_format(a.w.format, [&]<WeightFormat F>() { transposed_product_in<V, F>(a); });
}

}  // namespace
}  // namespace baltoro::kernels
