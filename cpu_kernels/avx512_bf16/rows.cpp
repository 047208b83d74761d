// Row kernels with VDPBF16PS. Groups of weight rows are multiplied with a tile of activation rows,
// each weight decoded as it is used. Where the first cache level cannot hold the activations they
// are cut along k into slices, and a strip of weight rows goes by before the next slice; for more
// activation rows than a tile has, too. The strip then lies in the second level.

#include <immintrin.h>
#include <stdint.h>

#include "cpu_kernels/avx512_bf16/kernels.h"
#include "cpu_kernels/avx512_bf16/packed_rows.h"
#include "cpu_kernels/avx512_bf16/tile_dots.h"
#include "cpu_kernels/row_blocks.h"

namespace baltoro::kernels::avx512_bf16 {
namespace {

// Activation rows up to which weight rows go by one by one, where that is asked for, or else in
// groups of four; more have groups of two.
constexpr int kStreamRows = 2;
constexpr ptrdiff_t kStreamBytes = 40 * 1024;  // of activations, all used for every weight row
constexpr int kWideRows = 4;
constexpr ptrdiff_t kStripBytes = 256 * 1024;  // of weights
constexpr int kStripRows = 64;                 // most weight rows of a strip
constexpr ptrdiff_t kSliceBytes = 16 * 1024;   // of a tile's activations

struct alignas(64) Scratch {
    BlockDots gate;
    BlockDots up;
    __m512 totals[kMaxRows / kTileRows][kStripRows * kRowTotals];  // of a strip, between slices
};

inline __m512i* packed_part(Scratch& scratch) {
    return reinterpret_cast<__m512i*>(&scratch + 1);
}

// How activation rows go by.
struct Plan {
    int n_slices = 1;
    int strip_rows = kScaleBlock;
    bool is_near = false;
    bool is_stream = false;

    bool has_strips() const { return strip_rows < kScaleBlock; }
};

template <WeightFormat F>
Plan plan_for(int n, const Weight& w, bool streams) {
    const ptrdiff_t weight_bytes = static_cast<ptrdiff_t>(w.k) * kWeightBytes<F>;
    const ptrdiff_t x_bytes = static_cast<ptrdiff_t>(n < kTileRows ? n : kTileRows) * w.k * 2;
    if (streams && n <= kStreamRows && x_bytes <= kStreamBytes && w.stride == w.k)
        return {.is_near = true, .is_stream = true};
    // A group of four uses an activation four times, so it may come from the second level.
    if (n <= kWideRows) return {.is_near = 4 * weight_bytes + x_bytes <= kNearBytes};
    const int n_slices = static_cast<int>((x_bytes + kSliceBytes - 1) / kSliceBytes);
    if (n_slices == 1 && n <= kTileRows)
        return {.is_near = 2 * weight_bytes + x_bytes <= kNearBytes};
    int strip_rows = kStripRows;  // halved, so that strips of a block are even
    while (strip_rows > 4 && strip_rows * weight_bytes > kStripBytes)
        strip_rows /= 2;
    return {.n_slices = n_slices, .strip_rows = strip_rows};
}

// In groups of W weight rows, then the others one by one.
template <WeightFormat F, int R, int W>
void group_dots(Piece piece, const Following& following, Tile tile) noexcept {
    const int others = piece.n_rows % W;
    piece.n_rows -= others;
    tile_dots<F, R, W>(piece, following, tile);
    if (others == 0) return;
    const int done = piece.n_rows;
    piece.at += done * piece.row_bytes;
    piece.n_rows = others;
    tile.totals += kRowTotals * done;
    tile.dots += done;
    tile_dots<F, R, 1>(piece, following, tile);
}

template <WeightFormat F, int R = 1>
void piece_dots(const Piece& piece, const Following& following, const Tile& tile) noexcept {
    if constexpr (R < kTileRows)
        if (tile.n > R) return piece_dots<F, R + 1>(piece, following, tile);
    if constexpr (R <= kStreamRows)
        if (following.is_stream) return tile_dots<F, R, 1>(piece, following, tile);
    group_dots<F, R, R <= kWideRows ? 4 : 2>(piece, following, tile);
}

// Some rows of a weight that have their scales in common. `next` is the strip that follows.
struct Strip {
    const uint8_t* at;
    const uint8_t* next;
    ptrdiff_t row_bytes;
    int n_rows;
    int k;
    const float* scale;
    bool is_dense;
};

// Scale blocks [begin, end) of the strip, or to its end.
template <WeightFormat F>
Piece piece_of(const Strip& strip, int begin, int end) {
    const int n_whole = strip.k / kScaleBlock;
    return {.at = strip.at + begin * kScaleBlock * kWeightBytes<F>,
            .row_bytes = strip.row_bytes,
            .n_rows = strip.n_rows,
            .n_whole = end - begin,
            .rest = end == n_whole ? strip.k % kScaleBlock : 0,
            .scale = F == WeightFormat::bf16 ? nullptr : strip.scale + begin,
            .is_first = begin == 0,
            .is_last = end == n_whole};
}

// What all strips of a call meet.
struct Call {
    Plan plan;
    PackedRows x;
    Scratch& scratch;
};

template <WeightFormat F>
Call call_for(
    const ActivationRows& x, int n_rows, const Weight& w, bool streams, void* scratch_memory) {
    Scratch& scratch = *static_cast<Scratch*>(scratch_memory);
    return {plan_for<F>(n_rows, w, streams), pack_rows<F>(x, n_rows, w.k, packed_part(scratch)),
            scratch};
}

template <WeightFormat F>
void strip_dots(const Call& call, const Strip& strip, float* dots) noexcept {
    constexpr ptrdiff_t kBlockBytes = kScaleBlock * kWeightBytes<F>;
    const Plan& plan = call.plan;
    const PackedRows& x = call.x;
    const int n_whole = strip.k / kScaleBlock;
    for (int slice = 0; slice < plan.n_slices; ++slice) {
        const int begin = n_whole * slice / plan.n_slices;
        const Piece piece = piece_of<F>(strip, begin, n_whole * (slice + 1) / plan.n_slices);
        Following following = {.next = strip.next,
                               .is_strip = plan.has_strips(),
                               .is_stream = plan.is_stream,
                               .is_half = x.n > kTileRows,
                               .is_near = plan.is_near,
                               .is_dense = strip.is_dense};
        if (following.is_strip)
            following.next += begin * kBlockBytes * (strip.is_dense ? strip.n_rows : 1);
        for (int r = 0; r < x.n; r += kTileRows, following.next += kBlockBytes / 2)
            piece_dots<F>(piece, following,
                          {.n = x.n_in_tile(r),
                           .x = x.tile(r, begin),
                           .totals = call.scratch.totals[r / kTileRows],
                           .dots = dots + r * kScaleBlock});
    }
}

// Rows of w in `range`, which have their scales in common; `after` follows them.
template <WeightFormat F>
void block_dots(const Call& call,
                const Weight& w,
                RowRange range,
                const uint8_t* after,
                BlockDots& dots) noexcept {
    for (int i = range.begin; i < range.end; i += call.plan.strip_rows) {
        const int next =
            i + call.plan.strip_rows < range.end ? i + call.plan.strip_rows : range.end;
        const Strip strip = {.at = weight_row(w, i),
                             .next = next < range.end ? weight_row(w, next) : after,
                             .row_bytes = w.stride * kWeightBytes<F>,
                             .n_rows = next - i,
                             .k = w.k,
                             .scale = scale_row(w, i),
                             .is_dense = w.stride == w.k};
        strip_dots<F>(call, strip, &dots[0][i - range.begin]);
    }
}

template <WeightFormat F>
void product_in(const RowsProduct& a, bool streams) noexcept {
    if (a.n_rows == 0) return;
    const Call call = call_for<F>({a.x, a.x_stride}, a.n_rows, a.w, streams, a.scratch);
    product_in_blocks(
        a, call.scratch.gate,
        [&](const Weight& w, int begin, int end, const uint8_t* after, BlockDots& dots) {
            block_dots<F>(call, w, {begin, end}, after, dots);
        });
}

template <WeightFormat F>
void gate_up_in(const RowsGateUp& a, bool streams) noexcept {
    if (a.n_rows == 0) return;
    const Call call = call_for<F>({a.x, a.x_stride}, a.n_rows, a.gate, streams, a.scratch);
    gate_up_in_blocks(
        a, call.scratch.gate, call.scratch.up,
        [&](const Weight& w, int begin, int end, const uint8_t* after, BlockDots& dots) {
            block_dots<F>(call, w, {begin, end}, after, dots);
        },
        gate_times_up);
}

}  // namespace

size_t row_scratch_bytes(int k) noexcept {
    return sizeof(Scratch) +
           static_cast<size_t>(packed_tile_vectors(k)) * sizeof(__m512i) * (kMaxRows / kTileRows);
}

void rows_product(const RowsProduct& a) noexcept {
    with_format(a.w.format, [&]<WeightFormat F>() { product_in<F>(a, false); });
}

void rows_gate_up(const RowsGateUp& a) noexcept {
    with_format(a.gate.format, [&]<WeightFormat F>() { gate_up_in<F>(a, false); });
}

void rows_product_streaming(const RowsProduct& a) noexcept {
    with_format(a.w.format, [&]<WeightFormat F>() { product_in<F>(a, true); });
}

void rows_gate_up_streaming(const RowsGateUp& a) noexcept {
    with_format(a.gate.format, [&]<WeightFormat F>() { gate_up_in<F>(a, true); });
}

}  // namespace baltoro::kernels::avx512_bf16
