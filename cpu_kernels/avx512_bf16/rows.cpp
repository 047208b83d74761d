#include <immintrin.h>

#include "cpu_kernels/avx512_bf16/decode.h"
#include "cpu_kernels/avx512_bf16/kernels.h"
#include "cpu_kernels/row_groups.h"

namespace baltoro::kernels::avx512_bf16 {
namespace {

constexpr int kSteps = kScaleBlock / 32;  // multiply instructions of one scale block

// One scale block of the group, decoded; zeros beyond the end of the rows.
struct alignas(64) DecodedRows {
    __m512i weight[kGroup][kSteps];
};

inline __m512 multiply_pairs(__m512 sum, __m512i a, __m512i b) {
    return _mm512_dpbf16_ps(sum, reinterpret_cast<__m512bh>(a), reinterpret_cast<__m512bh>(b));
}

// Lane 4 q + s = sum of the four lanes 4 q .. 4 q + 3 of v[s], added in the same order for every s.
// Four block sums then enter the totals by one multiplication with their scales instead of four;
// the unpacking and the additions do not use the ports of the multiplications (Zen 5: a block of 4
// x 16 rows in L1 takes 146 cycles instead of 180).
template <int W>
inline __m512 sum_quads(const __m512 (&v)[W]) {
    const __m512 v1 = v[W > 1 ? 1 : 0];
    const __m512 v2 = v[W > 2 ? 2 : 0];
    const __m512 v3 = v[W > 3 ? 3 : 0];
    const __m512 v01 = _mm512_add_ps(_mm512_unpacklo_ps(v[0], v1), _mm512_unpackhi_ps(v[0], v1));
    const __m512 v23 = _mm512_add_ps(_mm512_unpacklo_ps(v2, v3), _mm512_unpackhi_ps(v2, v3));
    const __m512d lo = _mm512_unpacklo_pd(_mm512_castps_pd(v01), _mm512_castps_pd(v23));
    const __m512d hi = _mm512_unpackhi_pd(_mm512_castps_pd(v01), _mm512_castps_pd(v23));
    return _mm512_add_ps(_mm512_castpd_ps(lo), _mm512_castpd_ps(hi));
}

// The scales of W weight rows from s0 on at scale block b, as sum_quads orders its lanes.
template <WeightFormat F, int W>
inline __m512 quad_scales(const WeightRows& rows, int s0, ptrdiff_t b) {
    if constexpr (F == WeightFormat::bf16) return _mm512_set1_ps(1.0f);
    const float* const* scale = rows.scale + s0;
    return _mm512_broadcast_f32x4(_mm_setr_ps(scale[0][b], scale[W > 1 ? 1 : 0][b],
                                              scale[W > 2 ? 2 : 0][b], scale[W > 3 ? 3 : 0][b]));
}

// sums[s0 + s][r] = lanes s, 4 + s, 8 + s and 12 + s of the total.
template <int W>
inline void store_sums(__m512 total, GroupSums& sums, int s0, int r) {
    const __m256 half =
        _mm256_add_ps(_mm512_castps512_ps256(total), _mm512_extractf32x8_ps(total, 1));
    alignas(16) float quad[4];
    _mm_store_ps(quad, _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1)));
    for (int s = 0; s < W; ++s)
        sums[s0 + s][r] = quad[s];
}

// Activation rows at one scale block, and those multiplied after them.
struct Tile {
    const bf16_t* x;
    const bf16_t* next;
    ptrdiff_t stride;
};

// total[r] += the decoded block of W weight rows times R activation rows. The activations of many
// rows stay in L2; announced one tile ahead, 16 rows of gate+up take 1286 us instead of 1519 with
// the weights in L2 and 8 rows 755 instead of 903 (two Zen 5 cores).
template <int W, int R>
inline void multiply_tile(const DecodedRows& decoded, Tile tile, __m512 scale, __m512* total) {
    __m512 block[R][W];
    for (int r = 0; r < R; ++r)
        for (int s = 0; s < W; ++s)
            block[r][s] = _mm512_setzero_ps();
    for (int step = 0; step < kSteps; ++step)
        for (int r = 0; r < R; ++r) {
            const ptrdiff_t at = r * tile.stride + 32 * step;
            _mm_prefetch(reinterpret_cast<const char*>(tile.next + at), _MM_HINT_T0);
            const __m512i x_step = _mm512_loadu_si512(tile.x + at);
            for (int s = 0; s < W; ++s)
                block[r][s] = multiply_pairs(block[r][s], decoded.weight[s][step], x_step);
        }
    for (int r = 0; r < R; ++r)
        total[r] = _mm512_fmadd_ps(sum_quads<W>(block[r]), scale, total[r]);
}

// Tiles of four activation rows: 16 accumulators cover the latency of the multiplication. After the
// last tile the next scale block of the first rows is due.
template <int W>
inline void multiply_rows(
    const DecodedRows& decoded, ActivationRows x, int n_rows, __m512 scale, __m512* total) {
    Tile tile = {x.x, x.x + 4 * x.stride, x.stride};
    for (; n_rows > 4; n_rows -= 4, total += 4) {
        multiply_tile<W, 4>(decoded, tile, scale, total);
        tile.x = tile.next;
        tile.next += 4 * x.stride;
    }
    tile.next = x.x + kScaleBlock;
    if (n_rows == 4) multiply_tile<W, 4>(decoded, tile, scale, total);
    if (n_rows == 3) multiply_tile<W, 3>(decoded, tile, scale, total);
    if (n_rows == 2) multiply_tile<W, 2>(decoded, tile, scale, total);
    if (n_rows == 1) multiply_tile<W, 1>(decoded, tile, scale, total);
}

// Decodes one scale block of the group and announces what the rows need later.
template <WeightFormat F, int W>
inline void decode_block(const Decoder& decode,
                         const WeightRows& rows,
                         ptrdiff_t j,
                         DecodedRows& decoded) {
    for (int s = 0; s < W; ++s) {
        prefetch_block<F>(rows.row[s], rows.next[s], s & 1, j, rows.k);
        for (int half = 0; half < 2; ++half) {
            const Bf16x64 w = load_weights<F>(decode, rows.row[s], j + 64 * half);
            decoded.weight[s][2 * half] = w.first;
            decoded.weight[s][2 * half + 1] = w.second;
        }
    }
}

// The ragged last block, from copies padded with zeros.
template <WeightFormat F, int W>
void multiply_end(const WeightRows& rows,
                  int s0,
                  const ActivationRows& x,
                  int n_rows,
                  ptrdiff_t j,
                  __m512* total) noexcept {
    const Decoder decode;
    const ptrdiff_t n = rows.k - j;
    DecodedRows decoded;
    for (int half = 0; half < 2; ++half)
        for (int s = 0; s < W; ++s) {
            const Bf16x64 w = n > 64 * half ? load_weights<F>(decode, rows.row[s0 + s],
                                                              j + 64 * half, n - 64 * half)
                                            : Bf16x64{};
            decoded.weight[s][2 * half] = w.first;
            decoded.weight[s][2 * half + 1] = w.second;
        }
    bf16_t x_end[kMaxRows][kScaleBlock] = {};
    for (int r = 0; r < n_rows; ++r)
        memcpy(x_end[r], x.x + r * x.stride + j, static_cast<size_t>(n) * sizeof(bf16_t));
    multiply_rows<W>(decoded, {x_end[0], kScaleBlock}, n_rows,
                     quad_scales<F, W>(rows, s0, j / kScaleBlock), total);
}

// sums[s0 + s][r] of W weight rows and R activation rows, each weight decoded as it is used.
template <WeightFormat F, int W, int R>
void few_rows_dots(const WeightRows& rows,
                   int s0,
                   const ActivationRows& x,
                   GroupSums& sums) noexcept {
    const Decoder decode;
    __m512 total[R];
    for (int r = 0; r < R; ++r)
        total[r] = _mm512_setzero_ps();
    ptrdiff_t j = 0;
    for (; j + kScaleBlock <= rows.k; j += kScaleBlock) {
        __m512 block[R][W];
        for (int s = 0; s < W; ++s) {
            if (W == 1 && is_short_row<F>(rows.k))
                prefetch_stream<F>(rows.row[s0 + s], j);
            else
                prefetch_block<F>(rows.row[s0 + s], rows.next[s0 + s], s & 1, j, rows.k);
            for (int r = 0; r < R; ++r)
                block[r][s] = _mm512_setzero_ps();
        }
        for (int half = 0; half < kScaleBlock; half += 64)
            for (int s = 0; s < W; ++s) {
                const Bf16x64 w = load_weights<F>(decode, rows.row[s0 + s], j + half);
                for (int r = 0; r < R; ++r) {
                    const bf16_t* at = x.x + r * x.stride + j + half;
                    block[r][s] = multiply_pairs(block[r][s], w.first, _mm512_loadu_si512(at));
                    block[r][s] =
                        multiply_pairs(block[r][s], w.second, _mm512_loadu_si512(at + 32));
                }
            }
        const __m512 scale = quad_scales<F, W>(rows, s0, j / kScaleBlock);
        for (int r = 0; r < R; ++r)
            total[r] = _mm512_fmadd_ps(sum_quads<W>(block[r]), scale, total[r]);
    }
    if (j < rows.k) multiply_end<F, W>(rows, s0, x, R, j, total);
    for (int r = 0; r < R; ++r)
        store_sums<W>(total[r], sums, s0, r);
}

// sums[s][r] of W weight rows and n_rows > 4 activation rows; a scale block is decoded once.
template <WeightFormat F, int W>
void many_rows_dots(const WeightRows& rows,
                    const ActivationRows& x,
                    int n_rows,
                    GroupSums& sums) noexcept {
    const Decoder decode;
    __m512 total[kMaxRows];
    for (int r = 0; r < kMaxRows; ++r)
        total[r] = _mm512_setzero_ps();
    DecodedRows decoded;
    ptrdiff_t j = 0;
    for (; j + kScaleBlock <= rows.k; j += kScaleBlock) {
        decode_block<F, W>(decode, rows, j, decoded);
        const __m512 scale = quad_scales<F, W>(rows, 0, j / kScaleBlock);
        multiply_rows<W>(decoded, {x.x + j, x.stride}, n_rows, scale, total);
    }
    if (j < rows.k) multiply_end<F, W>(rows, 0, x, n_rows, j, total);
    for (int r = 0; r < n_rows; ++r)
        store_sums<W>(total[r], sums, 0, r);
}

struct Level {
    static void gate_times_up(const float* gate, const float* up, bf16_t* dst, int n) noexcept {
        silu_times(gate, up, dst, n);
    }

    template <WeightFormat F, int G>
    static void group_dots(const WeightRows& rows,
                           const ActivationRows& x,
                           int n_rows,
                           GroupSums& sums) noexcept {
        if (n_rows > 4) return many_rows_dots<F, G>(rows, x, n_rows, sums);
        if (n_rows == 4) return few_rows_dots<F, G, 4>(rows, 0, x, sums);
        if (n_rows == 3) return few_rows_dots<F, G, 3>(rows, 0, x, sums);
        if (n_rows == 2) return few_rows_dots<F, G, 2>(rows, 0, x, sums);
        if (n_rows == 0) return;
        if (!is_short_row<F>(rows.k)) return few_rows_dots<F, G, 1>(rows, 0, x, sums);
        for (int s = 0; s < G; ++s)
            few_rows_dots<F, 1, 1>(rows, s, x, sums);
    }
};

}  // namespace

void rows_product(const RowsProduct& a) noexcept {
    rows_product_of<Level>(a);
}

void rows_gate_up(const RowsGateUp& a) noexcept {
    rows_gate_up_of<Level>(a);
}

}  // namespace baltoro::kernels::avx512_bf16
