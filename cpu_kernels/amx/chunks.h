#pragma once

#include "cpu_kernels/amx/decode.h"
#include "cpu_kernels/weight_rows.h"

// What all AMX products compute and in which order, and where they keep it meanwhile. Include
// tile.h or tile_emulated.h first.
namespace baltoro::kernels {
namespace {

constexpr int kChunkRows = 2 * kTileRows;
constexpr int kMaxPanels = 16;                      // panels whose totals a call keeps
constexpr int kSlicedChunks = 8;                    // chunks that wait for their next slice of k
constexpr ptrdiff_t kPrefetchAhead = 3;             // scale blocks
constexpr size_t kResidentBytes = size_t{1} << 20;  // of panels, half of the second cache level

constexpr int kSteps = kScaleBlock / kPanelDepth;
constexpr size_t kPage = 4096;

// Sums of one tile of weight rows with one panel: [weight row][activation row].
using TileSums = float[kTileRows][kPanelRows];
// Those of a chunk with two panels, a page whose quarters they are: [tile][panel].
using PairSums = TileSums[2][2];
// A tile of weight rows, one scale block deep, decoded; a page too: [quarter][weight row][k].
using DecodedTile = bf16_t[kSteps][kTileRows][kPanelDepth];

// A load waits for older stores whose addresses have the same last 12 bits. Step s of a scale block
// reads quarter s of pages: panels whose depth is whole scale blocks lie so, and the workspace is
// put at their place in a page. What is written beside step s therefore goes to quarter s - 1,
// which is not read before three more steps, and sums to a quarter that is read later still.
struct alignas(64) Workspace {
    DecodedTile weight[2][2];  // [block][tile]
    struct Page {
        TileSums unused[2];
        TileSums sum;
        TileSums last;
    } page[3];

    // Where the sums of a quarter of PairSums lie until they are added. The last one is added when
    // the next of its kind is stored already, hence `turn`.
    TileSums& sum(int quarter, int turn) noexcept {
        return quarter == 3 ? page[turn].last : page[quarter].sum;
    }
};
static_assert(sizeof(Workspace) % kPage == 0);

// The sums that the C tiles hold: tile q belongs to quarter q of `total`.
struct HeldSums {
    PairSums* total;
    float scale[2];     // of each tile of weight rows
    unsigned quarters;  // which exist, as bits
};

// One matrix with chunks of 32 rows, or two with 16 rows of each in a chunk.
struct ChunkedProduct {
    Weight top;     // rows of the first tile
    Weight bottom;  // rows of the second tile, `bottom_offset` further down
    int bottom_offset;
    int chunk_rows;  // how far it is from chunk to chunk
    RowRange range;
    const bf16_t* x;           // panels; with one column the activation row itself
    ptrdiff_t panel_distance;  // elements
    int n_panels;              // at most kMaxPanels
    int slice;                 // k of all chunks of a batch before the next k; whole scale blocks
    int batch_chunks;
};

inline ChunkedProduct chunks_of(const Weight& w, RowRange range) {
    ChunkedProduct a = {};
    a.top = a.bottom = w;
    a.bottom_offset = kTileRows;
    a.chunk_rows = kChunkRows;
    a.range = range;
    return a;
}

inline ChunkedProduct chunks_of(const Weight& gate, const Weight& up, RowRange range) {
    ChunkedProduct a = {};
    a.top = gate;
    a.bottom = up;
    a.chunk_rows = kTileRows;
    a.range = range;
    return a;
}

// Tiles begin at multiples of 16, so that each lies in one scale block; rows before the range are
// computed and not looked at.
inline int first_chunk(const ChunkedProduct& a) {
    return a.range.begin / kTileRows * kTileRows;
}

inline int n_pairs(const ChunkedProduct& a) {
    return (a.n_panels + 1) / 2;
}

// The order of the work: for each batch of chunks, slice of k, chunk and block.
struct Place {
    int batch;  // first weight row
    int slice;  // first k
    int chunk;  // first weight row
    int k;
};

inline Place first_place(const ChunkedProduct& a) {
    return {first_chunk(a), 0, first_chunk(a), 0};
}

inline int slice_end(const ChunkedProduct& a, const Place& at) {
    return at.slice + a.slice < a.top.k ? at.slice + a.slice : a.top.k;
}

// False at the end.
inline bool advance(const ChunkedProduct& a, Place& at) {
    at.k += kScaleBlock;
    if (at.k < slice_end(a, at)) return true;
    at.k = at.slice;
    at.chunk += a.chunk_rows;
    const int batch_end = at.batch + a.batch_chunks * a.chunk_rows;
    if (at.chunk < a.range.end && at.chunk < batch_end) return true;
    at.chunk = at.batch;
    at.slice += a.slice;
    at.k = at.slice;
    if (at.slice < a.top.k) return true;
    at = {batch_end, 0, batch_end, 0};
    return batch_end < a.range.end;
}

// 16 weight rows, where they lie.
struct TileRows {
    const uint8_t* first;
    ptrdiff_t stride;    // bytes
    int n_rows;          // that exist
    const float* scale;  // of every scale block; null without scales
};

template <WeightFormat F>
TileRows tile_rows(const ChunkedProduct& a, int chunk, int tile) noexcept {
    const Weight& w = tile == 0 ? a.top : a.bottom;
    const int first = chunk + (tile == 0 ? 0 : a.bottom_offset);
    const int n = a.range.end - first;
    const int begin = n > 0 ? first : first_chunk(a);
    TileRows rows = {};
    rows.first = weight_row(w, begin);
    rows.stride = w.stride * kWeightBytes<F>;
    rows.n_rows = n < 0 ? 0 : n < kTileRows ? n : kTileRows;
    if (F != WeightFormat::bf16) rows.scale = scale_row(w, begin);
    return rows;
}

// What to announce while a block is decoded: the same rows further on; at their end, or the
// slice's, those of the next chunk.
struct Ahead {
    ptrdiff_t k;
    int rows;
};

inline Ahead ahead_of(const ChunkedProduct& a, const Place& at) noexcept {
    const ptrdiff_t k = at.k + kPrefetchAhead * kScaleBlock;
    const ptrdiff_t end = slice_end(a, at);
    if (k < end) return {k, 0};
    return {k - (end - at.slice), at.chunk + 2 * a.chunk_rows <= a.range.end ? a.chunk_rows : 0};
}

}  // namespace
}  // namespace baltoro::kernels
