// Row kernels with VDPBF16PS. Groups of weight rows are multiplied with a tile of activation rows,
// each weight decoded as it is used. For more activation rows than a tile has, a few groups, which
// then lie in the second cache level, are gone through again.

#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#include "cpu_kernels/announce.h"
#include "cpu_kernels/avx512_bf16/kernels.h"
#include "cpu_kernels/avx512_bf16/packed_rows.h"
#include "cpu_kernels/avx512_bf16/split_decoder.h"
#include "cpu_kernels/avx512_bf16/tile_sums.h"
#include "cpu_kernels/row_blocks.h"

namespace baltoro::kernels::avx512_bf16 {
namespace {

constexpr ptrdiff_t kAgainBytes = 128 * 1024;  // of weights that are gone through again
constexpr int kWideRows = 4;  // activation rows up to which a group has four weight rows, not two

struct alignas(64) Scratch {
    BlockDots gate;
    BlockDots up;
};

inline __m512i* packed_part(Scratch& scratch) {
    return reinterpret_cast<__m512i*>(&scratch + 1);
}

// Weight rows that have their scales in common.
struct Rows {
    const uint8_t* first;
    ptrdiff_t row_bytes;
    int n;
    int k;
    const float* scale;
};

// Where to announce what follows. Rows without gaps are announced as one ascending stream, a group
// ahead of its use; others row by row.
struct Stream {
    const uint8_t* at;
    const uint8_t* end;    // when reached,
    const uint8_t* after;  // this is next
    bool is_dense;

    void advance(ptrdiff_t bytes) {
        at += bytes;
        if (at < end) return;
        at = after + (at - end);
        end = reinterpret_cast<const uint8_t*>(UINTPTR_MAX);
    }
};

// dots[r][s] = the products of R activation rows and rows.n weight rows, a multiple of W.
template <WeightFormat F, int R, int W>
__attribute__((noinline)) void tile_dots(const Rows& rows,
                                         Stream stream,
                                         const __m512i* x,
                                         float* dots,
                                         ptrdiff_t dots_stride) noexcept {
    constexpr ptrdiff_t kBlockBytes = kScaleBlock * kWeightBytes<F>;
    const ptrdiff_t announced_step = stream.is_dense ? W * kBlockBytes : kBlockBytes;
    const ptrdiff_t announced_row = stream.is_dense ? kBlockBytes : rows.row_bytes;
    const ptrdiff_t group_bytes = W * rows.row_bytes;
    const bool is_near =
        rows.k * (W * kWeightBytes<F> + R * static_cast<ptrdiff_t>(sizeof(bf16_t))) <= kNearBytes;
    const SplitDecoder<F> decode;
    const int n_whole = rows.k / kScaleBlock;
    const int n_blocks = n_scale_blocks(rows.k);
    for (int i = 0; i < rows.n; i += W) {
        stream.advance(group_bytes);
        const uint8_t* announced = stream.at;
        const uint8_t* at = rows.first + i * rows.row_bytes;
        ptrdiff_t row_bytes = rows.row_bytes;
        const __m512i* x_unit = x;
        uint8_t padded[W][kBlockBytes];
        TileSums<R, W> sums;
        sums.clear();
        for (int b = 0; b < n_blocks; ++b) {
            if (b == n_whole) {
                memset(padded, 0, sizeof padded);
                for (int s = 0; s < W; ++s)
                    memcpy(padded[s], at + s * row_bytes,
                           static_cast<size_t>((rows.k - b * kScaleBlock) * kWeightBytes<F>));
                at = padded[0];
                row_bytes = kBlockBytes;
            } else {
                announce<W, kBlockBytes>(is_near,
                                         [&](int s) { return announced + s * announced_row; });
                announced += announced_step;
            }
            __m512i w[W][2];
            decode(at, row_bytes, w);
            sums.begin_block(w, x_unit);
            decode(at + kBlockBytes / 2, row_bytes, w);
            sums.multiply(w, x_unit + 2 * R);
            sums.scale = _mm512_set1_ps(F == WeightFormat::bf16 ? 1.0f : rows.scale[b]);
            at += kBlockBytes;
            x_unit += 4 * R;
        }
        sums.store(F == WeightFormat::bf16 ? 1.0f : kFp8Divisor, dots + i, dots_stride);
    }
}

template <WeightFormat F, int W>
void tile_dots_of(const Rows& rows,
                  const Stream& stream,
                  int n,
                  const __m512i* x,
                  float* dots,
                  ptrdiff_t dots_stride) noexcept {
    if (n == 1) return tile_dots<F, 1, W>(rows, stream, x, dots, dots_stride);
    if (n == 2) return tile_dots<F, 2, W>(rows, stream, x, dots, dots_stride);
    if (n == 3) return tile_dots<F, 3, W>(rows, stream, x, dots, dots_stride);
    if (n == 4) return tile_dots<F, 4, W>(rows, stream, x, dots, dots_stride);
    if constexpr (W <= 2) {
        static_assert(kTileRows == 8 && kWideRows == 4);
        if (n == 5) return tile_dots<F, 5, W>(rows, stream, x, dots, dots_stride);
        if (n == 6) return tile_dots<F, 6, W>(rows, stream, x, dots, dots_stride);
        if (n == 7) return tile_dots<F, 7, W>(rows, stream, x, dots, dots_stride);
        return tile_dots<F, 8, W>(rows, stream, x, dots, dots_stride);
    }
}

// In groups of W weight rows, then the others one by one.
template <WeightFormat F, int W>
void group_dots(Rows rows,
                const Stream& stream,
                int n,
                const __m512i* x,
                float* dots,
                ptrdiff_t dots_stride) noexcept {
    const int others = rows.n % W;
    rows.n -= others;
    tile_dots_of<F, W>(rows, stream, n, x, dots, dots_stride);
    if (others == 0) return;
    rows.first += rows.n * rows.row_bytes;
    tile_dots_of<F, 1>({rows.first, rows.row_bytes, others, rows.k, rows.scale}, stream, n, x,
                       dots + rows.n, dots_stride);
}

// Rows of w in [begin, end), which have their scales in common; `after` follows them.
template <WeightFormat F>
void block_dots(const Weight& w,
                int begin,
                int end,
                const PackedRows& x,
                const uint8_t* after,
                BlockDots& dots) noexcept {
    Rows rows;
    rows.row_bytes = w.stride * kWeightBytes<F>;
    rows.k = w.k;
    rows.scale = scale_row(w, begin);
    int step = end - begin;
    if (x.n > kTileRows) {
        const ptrdiff_t fitting = kAgainBytes / (w.k * kWeightBytes<F>);
        step = fitting < 4 ? 4 : fitting < step ? static_cast<int>(fitting / 4 * 4) : step;
    }
    for (int i = begin; i < end; i += step) {
        rows.first = weight_row(w, i);
        rows.n = end - i < step ? end - i : step;
        const Stream following = {rows.first, weight_row(w, end), after, w.stride == w.k};
        const Stream again = {rows.first, rows.first, rows.first, false};
        for (int r = 0; r < x.n; r += kTileRows) {
            const Stream& stream = r == 0 ? following : again;
            const int n = x.n_in_tile(r);
            if (n <= kWideRows)
                group_dots<F, 4>(rows, stream, n, x.tile(r), &dots[r][i - begin], kScaleBlock);
            else
                group_dots<F, 2>(rows, stream, n, x.tile(r), &dots[r][i - begin], kScaleBlock);
        }
    }
}

template <WeightFormat F>
void product_in(const RowsProduct& a) noexcept {
    Scratch& scratch = *static_cast<Scratch*>(a.scratch);
    if (a.n_rows == 0) return;
    const PackedRows x = pack_rows<F>({a.x, a.x_stride}, a.n_rows, a.w.k, packed_part(scratch));
    product_in_blocks(a, scratch.gate,
                      [&](const Weight& w, int begin, int end, const uint8_t* after,
                          BlockDots& dots) { block_dots<F>(w, begin, end, x, after, dots); });
}

template <WeightFormat F>
void gate_up_in(const RowsGateUp& a) noexcept {
    Scratch& scratch = *static_cast<Scratch*>(a.scratch);
    if (a.n_rows == 0) return;
    const PackedRows x = pack_rows<F>({a.x, a.x_stride}, a.n_rows, a.gate.k, packed_part(scratch));
    gate_up_in_blocks(
        a, scratch.gate, scratch.up,
        [&](const Weight& w, int begin, int end, const uint8_t* after, BlockDots& dots) {
            block_dots<F>(w, begin, end, x, after, dots);
        },
        gate_times_up);
}

}  // namespace

size_t row_scratch_bytes(int k) noexcept {
    return sizeof(Scratch) +
           static_cast<size_t>(packed_tile_vectors(k)) * sizeof(__m512i) * (kMaxRows / kTileRows);
}

void rows_product(const RowsProduct& a) noexcept {
    with_format(a.w.format, [&]<WeightFormat F>() { product_in<F>(a); });
}

void rows_gate_up(const RowsGateUp& a) noexcept {
    with_format(a.gate.format, [&]<WeightFormat F>() { gate_up_in<F>(a); });
}

}  // namespace baltoro::kernels::avx512_bf16
