#pragma once

#include <immintrin.h>

#include "cpu_kernels/avx512_bf16/split_decoder.h"
#include "cpu_kernels/registers.h"
#include "cpu_kernels/weight_rows.h"

namespace baltoro::kernels {
namespace {

// Lane 4 q + i = sum of the four lanes 4 q .. 4 q + 3 of vi, added in the same order for every i.
inline __m512 sum_quads(__m512 v0, __m512 v1, __m512 v2, __m512 v3) {
    const __m512 v01 = _mm512_add_ps(_mm512_unpacklo_ps(v0, v1), _mm512_unpackhi_ps(v0, v1));
    const __m512 v23 = _mm512_add_ps(_mm512_unpacklo_ps(v2, v3), _mm512_unpackhi_ps(v2, v3));
    const __m512d lo = _mm512_unpacklo_pd(_mm512_castps_pd(v01), _mm512_castps_pd(v23));
    const __m512d hi = _mm512_unpackhi_pd(_mm512_castps_pd(v01), _mm512_castps_pd(v23));
    return _mm512_add_ps(_mm512_castpd_ps(lo), _mm512_castpd_ps(hi));
}

// The same of one vector, its sums in all lanes.
inline __m512 sum_quads(__m512 v) {
    const __m512 pairs = _mm512_add_ps(v, _mm512_shuffle_ps(v, v, 0x4e));
    return _mm512_add_ps(pairs, _mm512_shuffle_ps(pairs, pairs, 0xb1));
}

// Vectors of totals for each weight row, of up to eight activation rows.
constexpr int kRowTotals = 2;

// Of R activation rows and W weight rows: the lanes of each pair's sum over one scale block, and
// the totals with the scales, lane 4 q + i of vector v being of pair 4 v + i. Pairs are numbered by
// activation row, then weight row. Block sums are added to the totals while the next block is
// multiplied, or the processor would have nothing to multiply meanwhile.
template <int R, int W>
struct TileSums {
    static constexpr int kPairs = R * W;
    static constexpr int kTotals = (kPairs + 3) / 4;

    __m512 block[kPairs];
    __m512 total[kTotals];
    __m512 scale;  // of the block sums

    void clear() {
        for (__m512& sum : block)
            sum = _mm512_setzero_ps();
        for (__m512& sum : total)
            sum = _mm512_setzero_ps();
        scale = _mm512_setzero_ps();
    }

    // Goes on from what keep() has stored.
    void resume(const __m512* totals) {
        clear();
        for (int t = 0; t < kTotals; ++t)
            total[t] = totals[t];
    }

    // Ends a block and multiplies the first N units of the next.
    template <int N>
    void begin_block(const __m512i (&w)[N][W][2], const __m512i* x) {
        begin_block_from<0>(w, x);
    }

    // Multiplies activation rows Begin .. End - 1.
    template <int Begin = 0, int End = R>
    void multiply(const __m512i (&w)[W][2], const __m512i* x) {
#pragma GCC unroll 2
        for (int h = 0; h < 2; ++h)
#pragma GCC unroll 8
            for (int r = Begin; r < End; ++r) {
                __m512i a = x[2 * r + h];
                keep_in_register(a);
#pragma GCC unroll 4
                for (int s = 0; s < W; ++s)
                    block[r * W + s] =
                        _mm512_dpbf16_ps(block[r * W + s], reinterpret_cast<__m512bh>(w[s][h]),
                                         reinterpret_cast<__m512bh>(a));
            }
    }

    // Ends the last block; then come keep() or store().
    void end() {
        end_from<0>();
    }

    // Stores kTotals vectors for resume().
    void keep(__m512* totals) const {
        for (int t = 0; t < kTotals; ++t)
            totals[t] = total[t];
    }

    // dots[r][s] = the pair's total times `factor`.
    void store(float factor, float* dots, ptrdiff_t stride) const {
        store_from<0>(factor, dots, stride);
    }

  private:
    template <int I>
    __m512 block_at() const {
        return block[I < kPairs ? I : kPairs - 1];
    }

    template <int T>
    __m512 quads_of() const {
        if constexpr (kPairs == 1) return sum_quads(block[0]);
        return sum_quads(block_at<4 * T>(), block_at<4 * T + 1>(), block_at<4 * T + 2>(),
                         block_at<4 * T + 3>());
    }

    template <int T>
    void end_block() {
        total[T] = _mm512_fmadd_ps(quads_of<T>(), scale, total[T]);
    }

    template <int T, int N>
    void begin_block_from(const __m512i (&w)[N][W][2], const __m512i* x) {
        if constexpr (T < kTotals) {
            end_block<T>();
            constexpr int kBegin = 4 * T;
            constexpr int kEnd = kBegin + 4 < kPairs ? kBegin + 4 : kPairs;
#pragma GCC unroll 4
            for (int i = kBegin; i < kEnd; ++i)
                block[i] = _mm512_setzero_ps();
#pragma GCC unroll 2
            for (int u = 0; u < N; ++u)
                multiply<kBegin / W, (kEnd + W - 1) / W>(w[u], x + 2 * R * u);
            begin_block_from<T + 1>(w, x);
        }
    }

    template <int T>
    void end_from() {
        if constexpr (T < kTotals) {
            end_block<T>();
            end_from<T + 1>();
        }
    }

    template <int T>
    void store_from(float factor, float* dots, ptrdiff_t stride) const {
        if constexpr (T < kTotals) {
            const __m256 half = _mm256_add_ps(_mm512_castps512_ps256(total[T]),
                                              _mm512_extractf32x8_ps(total[T], 1));
            const __m128 quad =
                _mm_mul_ps(_mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1)),
                           _mm_set1_ps(factor));
            float* const to = dots + 4 * T / W * stride;
            if constexpr (W == 4) {
                _mm_storeu_ps(to, quad);
            } else if constexpr (W == 2) {
                _mm_storel_pi(reinterpret_cast<__m64*>(to), quad);
                if (2 * T + 1 < R) _mm_storeh_pi(reinterpret_cast<__m64*>(to + stride), quad);
            } else {
                static_assert(W == 1);
                for (int i = 0; i < 4 && 4 * T + i < R; ++i)
                    to[i * stride] = quad[i];
            }
            store_from<T + 1>(factor, dots, stride);
        }
    }
};

}  // namespace
}  // namespace baltoro::kernels
