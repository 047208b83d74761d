#include "cpu_kernels/avx512/exp.h"
#include "cpu_kernels/avx512_bf16/avx512_bf16.h"
#include "cpu_kernels/avx512_bf16/weights.h"

// Few activation rows: bound by the weights' way from memory, and from about eight rows on by
// VDPBF16PS. A tile of W weight rows is multiplied by R activation rows while it is decoded in
// registers; W falls as R grows so that the running sums fit the 32 registers and every load of an
// activation serves W products (16 rows of 7168 do not fit the first-level cache).
//
// The sum of an output is the same whatever W and R are: per block of 128 columns one accumulator,
// over lanes j mod 32 / 2; blocks are scaled and added in order; the 16 lanes are added at the end.

namespace baltoro::kernels {
namespace {

// Distance in bytes that loads are announced ahead.
constexpr ptrdiff_t kPrefetchBytes = 1024;

// Most activation rows that share one decoding.
constexpr int kBlockRows = 8;

// Weight rows of a tile for R activation rows.
constexpr int tile_rows(int r) {
    return r <= 4 ? 4 : 2;
}

// Where a tile's weight rows and scales are, and how far ahead the next tile is.
template <typename Loader, int W>
struct TileRows {
    const char* row[W];
    const float* scale[W];  // one entry per 128 columns; null without scales

    TileRows(const Weight& w, int first) noexcept {
#pragma GCC unroll 4
        for (int i = 0; i < W; i++) {
            row[i] = weight_row<Loader>(w, first + i);
            scale[i] = Loader::kHasScales ? scale_row(w, first + i) : nullptr;
        }
    }
};

template <int W, int R>
struct Sums {
    __m512 of[W][R];

    void clear() noexcept {
#pragma GCC unroll 4
        for (int i = 0; i < W; i++)
#pragma GCC unroll 8
            for (int r = 0; r < R; r++)
                of[i][r] = _mm512_setzero_ps();
    }
};

// sums += 64 columns of the tile; n < 64 columns at the ragged end of the rows.
template <int W, int R, bool kIsRagged, typename Loader>
__attribute__((always_inline)) inline void multiply64(const Loader& loader,
                                                      const TileRows<Loader, W>& tile,
                                                      ptrdiff_t offset,
                                                      ptrdiff_t ahead,
                                                      const bf16_t* x,
                                                      ptrdiff_t x_stride,
                                                      int n,
                                                      Sums<W, R>& sums) noexcept {
    Weights64 w[W];
#pragma GCC unroll 4
    for (int i = 0; i < W; i++) {
        const char* at = tile.row[i] + offset;
        w[i] = kIsRagged ? loader.load(at, n) : loader.load(at);
        if (kIsRagged) continue;
        _mm_prefetch(at + ahead, _MM_HINT_T0);
        if (Loader::kElementBytes == 2) _mm_prefetch(at + ahead + 64, _MM_HINT_T0);
    }
#pragma GCC unroll 8
    for (int r = 0; r < R; r++) {
        const bf16_t* at = x + r * x_stride;
        const Weights64 row =
            kIsRagged ? load_bf16(at, n) : Bf16Loader().load(reinterpret_cast<const char*>(at));
#pragma GCC unroll 4
        for (int i = 0; i < W; i++) {
            sums.of[i][r] = _mm512_dpbf16_ps(sums.of[i][r], w[i].low, row.low);
            sums.of[i][r] = _mm512_dpbf16_ps(sums.of[i][r], w[i].high, row.high);
        }
    }
}

template <int W, int R, typename Loader>
__attribute__((always_inline)) inline void add_scaled(const TileRows<Loader, W>& tile,
                                                      int block,
                                                      const Sums<W, R>& sums,
                                                      Sums<W, R>& totals) noexcept {
#pragma GCC unroll 4
    for (int i = 0; i < W; i++) {
        const __m512 factor = _mm512_set1_ps(Loader::kHasScales ? tile.scale[i][block] : 1.0f);
#pragma GCC unroll 8
        for (int r = 0; r < R; r++)
            totals.of[i][r] = _mm512_fmadd_ps(sums.of[i][r], factor, totals.of[i][r]);
    }
}

// totals[i][r] = products of weight row first + i and activation row r, by lanes.
template <int W, int R, typename Loader>
__attribute__((always_inline)) inline void tile_sums(const Loader& loader,
                                                     const Weight& w,
                                                     int first,
                                                     const bf16_t* x,
                                                     ptrdiff_t x_stride,
                                                     Sums<W, R>& totals) noexcept {
    const TileRows<Loader, W> tile(w, first);
    totals.clear();
    // Past the end of its row a tile announces the same row of the next tile.
    const ptrdiff_t next_tile = kPrefetchBytes + (W * w.stride - w.k) * Loader::kElementBytes;
    int j = 0;
    for (; j + kScaleBlock <= w.k; j += kScaleBlock) {
        Sums<W, R> sums;
        sums.clear();
        const ptrdiff_t offset = static_cast<ptrdiff_t>(j) * Loader::kElementBytes;
        const ptrdiff_t ahead =
            offset + kPrefetchBytes < w.k * Loader::kElementBytes ? kPrefetchBytes : next_tile;
        multiply64<W, R, false>(loader, tile, offset, ahead, x + j, x_stride, 64, sums);
        multiply64<W, R, false>(loader, tile, offset + 64 * Loader::kElementBytes, ahead,
                                x + j + 64, x_stride, 64, sums);
        add_scaled(tile, j / kScaleBlock, sums, totals);
    }
    if (j == w.k) return;
    Sums<W, R> sums;
    sums.clear();
    const int block = j / kScaleBlock;
    for (; j < w.k; j += 64)
        multiply64<W, R, true>(loader, tile, static_cast<ptrdiff_t>(j) * Loader::kElementBytes, 0,
                               x + j, x_stride, w.k - j, sums);
    add_scaled(tile, block, sums, totals);
}

void store_product(const RowsProduct& args, int i, int row, float value) noexcept {
    if (args.gain == nullptr) {
        args.dst[row * args.dst_stride + i] = value;
    } else {
        args.dst[(args.dst_row == nullptr ? row : args.dst_row[row]) * args.dst_stride + i] +=
            args.gain[row] * value;
    }
}

struct ProductKernel {
    template <int W, int R, typename Loader>
    static void run(const Loader& loader, const RowsProduct& args, int i, int first_row) noexcept {
        Sums<W, R> totals;
        tile_sums<W, R>(loader, args.w, i, args.x + first_row * args.x_stride, args.x_stride,
                        totals);
        for (int w = 0; w < W; w++)
            for (int r = 0; r < R; r++)
                store_product(args, i + w, first_row + r, _mm512_reduce_add_ps(totals.of[w][r]));
    }
};

struct GateUpKernel {
    template <int W, int R, typename Loader>
    static void run(const Loader& loader, const RowsGateUp& args, int i, int first_row) noexcept {
        const bf16_t* x = args.x + first_row * args.x_stride;
        alignas(64) float gate[16] = {};
        alignas(64) float up[16] = {};
        Sums<W, R> totals;
        tile_sums<W, R>(loader, args.gate, i, x, args.x_stride, totals);
        for (int at = 0; at < W * R; at++)
            gate[at] = _mm512_reduce_add_ps(totals.of[at / R][at % R]);
        tile_sums<W, R>(loader, args.up, i, x, args.x_stride, totals);
        for (int at = 0; at < W * R; at++)
            up[at] = _mm512_reduce_add_ps(totals.of[at / R][at % R]);
        alignas(64) float gated[16];
        _mm512_store_ps(gated, gated_ps(_mm512_load_ps(gate), _mm512_load_ps(up)));
        for (int at = 0; at < W * R; at++)
            args.dst[(first_row + at % R) * args.dst_stride + i + at / R] =
                bf16_from_float(gated[at]);
    }
};

// All weight rows of the range for R activation rows: whole tiles, then single rows.
template <typename Kernel, int R, typename Loader, typename Args>
void all_tiles(const Args& args, int first_row) noexcept {
    const Loader loader;
    constexpr int W = tile_rows(R);
    int i = args.range.begin;
    for (; i + W <= args.range.end; i += W)
        Kernel::template run<W, R>(loader, args, i, first_row);
    for (; i < args.range.end; i++)
        Kernel::template run<1, R>(loader, args, i, first_row);
}

template <typename Kernel, typename Loader, typename Args>
void all_rows(const Args& args) noexcept {
    for (int row = 0; row < args.n_rows; row += kBlockRows) {
        switch (args.n_rows - row) {
            case 1:
                all_tiles<Kernel, 1, Loader>(args, row);
                break;
            case 2:
                all_tiles<Kernel, 2, Loader>(args, row);
                break;
            case 3:
                all_tiles<Kernel, 3, Loader>(args, row);
                break;
            case 4:
                all_tiles<Kernel, 4, Loader>(args, row);
                break;
            case 5:
                all_tiles<Kernel, 5, Loader>(args, row);
                break;
            case 6:
                all_tiles<Kernel, 6, Loader>(args, row);
                break;
            case 7:
                all_tiles<Kernel, 7, Loader>(args, row);
                break;
            default:
                all_tiles<Kernel, 8, Loader>(args, row);
                break;
        }
    }
}

}  // namespace

void rows_product_avx512_bf16(const RowsProduct& args) noexcept {
    if (args.w.format == WeightFormat::fp8_block) {
        all_rows<ProductKernel, Fp8Loader>(args);
    } else {
        all_rows<ProductKernel, Bf16Loader>(args);
    }
}

void rows_gate_up_avx512_bf16(const RowsGateUp& args) noexcept {
    if (args.gate.format == WeightFormat::fp8_block) {
        all_rows<GateUpKernel, Fp8Loader>(args);
    } else {
        all_rows<GateUpKernel, Bf16Loader>(args);
    }
}

}  // namespace baltoro::kernels
