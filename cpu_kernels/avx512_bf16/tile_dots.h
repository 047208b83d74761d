#pragma once

// The innermost loops of the row kernels with VDPBF16PS.

#include <immintrin.h>
#include <string.h>

#include "cpu_kernels/announce.h"
#include "cpu_kernels/avx512_bf16/packed_rows.h"
#include "cpu_kernels/avx512_bf16/split_decoder.h"
#include "cpu_kernels/avx512_bf16/tile_sums.h"
#include "cpu_kernels/weight_rows.h"

namespace baltoro::kernels {
namespace {

// Scale blocks of some weight rows that have their scales in common.
struct Piece {
    const uint8_t* at;
    ptrdiff_t row_bytes;
    int n_rows;
    int n_whole;         // blocks,
    int rest;            // and weights of a ragged one behind them
    const float* scale;  // of the first block; null for bf16
    bool is_first;       // the sums of its rows begin here,
    bool is_last;        // or end here
};

// Activation rows that meet a piece, packed from its first block on.
struct Tile {
    int n;
    const __m512i* x;
    __m512* totals;  // between pieces, kRowTotals for each weight row
    float* dots;     // [n][kScaleBlock], the piece's first row in front
};

// What is announced while a piece is multiplied: what lies a group of rows ahead, or kStreamAhead
// in a stream, with `next` behind the last row; or, of the strip that follows, the part at `next`.
// Rows without gaps are announced in ascending order, others row by row.
struct Following {
    const uint8_t* next;
    bool is_strip;
    bool is_stream;  // of rows without gaps, one by one
    bool is_half;    // of each block, since two tiles of activation rows go by
    bool is_near;    // into the first cache level
    bool is_dense;   // no gaps
};

constexpr ptrdiff_t kStreamAhead = 8192;

// What is announced into the second cache level comes into the first so many bytes before its use,
// for more than two activation rows: for fewer that costs more than it gives (README.md).
constexpr ptrdiff_t kNearAhead = 512;

template <int R, int W, ptrdiff_t BlockBytes>
__attribute__((always_inline)) inline void announce_block(const Following& following,
                                                          const uint8_t* line,
                                                          ptrdiff_t line_row,
                                                          const uint8_t* at,
                                                          ptrdiff_t row_bytes) {
    const auto place = [&](int s) { return line + s * line_row; };
    if (following.is_near) return announce<W, BlockBytes>(true, place);
    if (following.is_half)
        announce<W, BlockBytes / 2>(false, place);
    else
        announce<W, BlockBytes>(false, place);
    if (R > 2)
        announce<W, BlockBytes>(true, [&](int s) { return at + s * row_bytes + kNearAhead; });
}

// The products of the tile's rows, R of them, and the piece's, a multiple of W: its dots with the
// last piece, totals before.
template <WeightFormat F, int R, int W>
__attribute__((noinline)) void tile_dots(const Piece& piece,
                                         const Following& following,
                                         const Tile& tile) noexcept {
    constexpr ptrdiff_t kBlockBytes = kScaleBlock * kWeightBytes<F>;
    const ptrdiff_t line_step = following.is_dense ? W * kBlockBytes : kBlockBytes;
    const ptrdiff_t line_row = following.is_dense ? kBlockBytes : piece.row_bytes;
    const ptrdiff_t line_group =
        following.is_dense ? piece.n_whole * line_step : W * piece.row_bytes;
    const uint8_t* ahead =
        following.is_strip ? following.next
                           : piece.at + (following.is_stream ? kStreamAhead : W * piece.row_bytes);
    const uint8_t* const end = piece.at + piece.n_rows * piece.row_bytes;
    const SplitDecoder<F> decode;
    const int n_blocks = piece.n_whole + (piece.rest > 0);
    for (int i = 0; i < piece.n_rows; i += W, ahead += line_group) {
        const uint8_t* line =
            following.is_strip || ahead < end ? ahead : following.next + (ahead - end);
        const uint8_t* at = piece.at + i * piece.row_bytes;
        ptrdiff_t row_bytes = piece.row_bytes;
        const __m512i* x_unit = tile.x;
        uint8_t padded[W][kBlockBytes];
        TileSums<R, W> sums;
        if (piece.is_first)
            sums.clear();
        else
            sums.resume(tile.totals + kRowTotals * i);
        for (int b = 0; b < n_blocks; ++b) {
            if (b == piece.n_whole) {
                memset(padded, 0, sizeof padded);
                for (int s = 0; s < W; ++s)
                    memcpy(padded[s], at + s * row_bytes,
                           static_cast<size_t>(piece.rest) * kWeightBytes<F>);
                at = padded[0];
                row_bytes = kBlockBytes;
            } else {
                announce_block<R, W, kBlockBytes>(following, line, line_row, at, row_bytes);
                line += line_step;
            }
            if constexpr (W <= 2) {  // 3 % faster; for four there are too few registers
                __m512i w[2][W][2];
                decode(at, row_bytes, w);
                sums.begin_block(w, x_unit);
            } else {
                __m512i w[1][W][2];
                decode(at, row_bytes, w);
                sums.begin_block(w, x_unit);
                decode(at + kBlockBytes / 2, row_bytes, w);
                sums.multiply(w[0], x_unit + 2 * R);
            }
            sums.scale = _mm512_set1_ps(F == WeightFormat::bf16 ? 1.0f : piece.scale[b]);
            at += kBlockBytes;
            x_unit += kRowBlockVectors * R;
        }
        sums.end();
        if (piece.is_last)
            sums.store(F == WeightFormat::bf16 ? 1.0f : kFp8Divisor, tile.dots + i, kScaleBlock);
        else
            sums.keep(tile.totals + kRowTotals * i);
    }
}

}  // namespace
}  // namespace baltoro::kernels
