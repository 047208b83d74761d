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
// Two groups of weight rows and the activations that the first cache level keeps, one group being
// announced into it while the other is multiplied.
constexpr ptrdiff_t kNearGroups = 24 * 1024;

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
    if (n <= kWideRows) return {.is_near = 2 * 4 * weight_bytes + x_bytes <= kNearGroups};
    const int n_slices = static_cast<int>((x_bytes + kSliceBytes - 1) / kSliceBytes);
    if (n_slices == 1 && n <= kTileRows)
        return {.is_near = 2 * 2 * weight_bytes + x_bytes <= kNearGroups};
    int strip_rows = kStripRows;  // halved, so that strips of a block are even
    while (strip_rows > 4 && strip_rows * weight_bytes > kStripBytes)
        strip_rows /= 2;
    return {.n_slices = n_slices, .strip_rows = strip_rows};
}

// In groups of W weight rows, then the others one by one.
template <WeightFormat F, int R, int W>
void group_dots(Piece piece,
                const Following& following,
                const __m512i* x,
                __m512* totals,
                float* dots) noexcept {
    const int others = piece.n_rows % W;
    piece.n_rows -= others;
    tile_dots<F, R, W>(piece, following, x, totals, dots);
    if (others == 0) return;
    const int done = piece.n_rows;
    piece.at += done * piece.row_bytes;
    piece.n_rows = others;
    tile_dots<F, R, 1>(piece, following, x, totals + kRowTotals * done, dots + done);
}

template <WeightFormat F, int R = 1>
void piece_dots(int n,
                const Piece& piece,
                const Following& following,
                const __m512i* x,
                __m512* totals,
                float* dots) noexcept {
    if constexpr (R < kTileRows)
        if (n > R) return piece_dots<F, R + 1>(n, piece, following, x, totals, dots);
    if constexpr (R <= kStreamRows)
        if (following.is_stream) return tile_dots<F, R, 1>(piece, following, x, totals, dots);
    group_dots<F, R, R <= kWideRows ? 4 : 2>(piece, following, x, totals, dots);
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

template <WeightFormat F>
void strip_dots(const Strip& strip,
                const Plan& plan,
                const PackedRows& x,
                Scratch& scratch,
                float* dots) noexcept {
    constexpr ptrdiff_t kBlockBytes = kScaleBlock * kWeightBytes<F>;
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
            piece_dots<F>(x.n_in_tile(r), piece, following, x.tile(r, begin),
                          scratch.totals[r / kTileRows], dots + r * kScaleBlock);
    }
}

// Rows of w in [begin, end), which have their scales in common; `after` follows them.
template <WeightFormat F>
void block_dots(const Weight& w,
                RowRange range,
                const Plan& plan,
                const PackedRows& x,
                const uint8_t* after,
                Scratch& scratch,
                BlockDots& dots) noexcept {
    for (int i = range.begin; i < range.end; i += plan.strip_rows) {
        const int next = i + plan.strip_rows < range.end ? i + plan.strip_rows : range.end;
        const Strip strip = {.at = weight_row(w, i),
                             .next = next < range.end ? weight_row(w, next) : after,
                             .row_bytes = w.stride * kWeightBytes<F>,
                             .n_rows = next - i,
                             .k = w.k,
                             .scale = scale_row(w, i),
                             .is_dense = w.stride == w.k};
        strip_dots<F>(strip, plan, x, scratch, &dots[0][i - range.begin]);
    }
}

template <WeightFormat F>
void product_in(const RowsProduct& a, bool streams) noexcept {
    Scratch& scratch = *static_cast<Scratch*>(a.scratch);
    if (a.n_rows == 0) return;
    const PackedRows x = pack_rows<F>({a.x, a.x_stride}, a.n_rows, a.w.k, packed_part(scratch));
    const Plan plan = plan_for<F>(a.n_rows, a.w, streams);
    product_in_blocks(
        a, scratch.gate,
        [&](const Weight& w, int begin, int end, const uint8_t* after, BlockDots& dots) {
            block_dots<F>(w, {begin, end}, plan, x, after, scratch, dots);
        });
}

template <WeightFormat F>
void gate_up_in(const RowsGateUp& a, bool streams) noexcept {
    Scratch& scratch = *static_cast<Scratch*>(a.scratch);
    if (a.n_rows == 0) return;
    const PackedRows x = pack_rows<F>({a.x, a.x_stride}, a.n_rows, a.gate.k, packed_part(scratch));
    const Plan plan = plan_for<F>(a.n_rows, a.gate, streams);
    gate_up_in_blocks(
        a, scratch.gate, scratch.up,
        [&](const Weight& w, int begin, int end, const uint8_t* after, BlockDots& dots) {
            block_dots<F>(w, {begin, end}, plan, x, after, scratch, dots);
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
