#pragma once

#include <string.h>

#include "cpu_kernels/amx/decode.h"
#include "cpu_kernels/weight_rows.h"

// The loop of all AMX products. Include tile.h or tile_emulated.h first; it supplies `Tiles`.
//
// A chunk of 32 weight rows is decoded to bf16 one scale block (128 k) at a time: two A tiles for
// each 32 k. It is multiplied with the panels of the activations (B tiles); block sums enter f32
// totals with the exact block scale. While the tiles multiply one block, the next one is decoded
// and the one before is added, a slice after each step of 32 k, so that memory, decoding and
// multiplication overlap. That sequence of blocks runs on from chunk to chunk.
namespace baltoro::kernels {
namespace {

constexpr int kChunkRows = 2 * kTileRows;
constexpr int kGroupPanels = 4;          // panels that one decoded block is multiplied with
constexpr int kMaxPanels = 16;           // panels whose totals a call keeps
constexpr int kSlicedChunks = 8;         // chunks that wait for their next slice of k
constexpr ptrdiff_t kPrefetchAhead = 4;  // scale blocks
constexpr size_t kResidentBytes = size_t{1} << 20;  // of panels, half of the second cache level

// The sums of one panel with one chunk: [tile of weight rows][weight row][activation row].
using PanelTotals = float[2][kTileRows][kPanelRows];

constexpr int kSteps = kScaleBlock / kPanelDepth;
constexpr size_t kPage = 4096;

// A load waits for older stores whose addresses have the same last 12 bits. Step s of a scale block
// reads quarter s of pages: panels whose depth is whole scale blocks lie so, and the workspace is
// put at their place in a page. What is written after the loads of step s therefore goes to quarter
// s again, which is not read before four steps have passed (or to quarter 3 after step 0).
struct alignas(64) Workspace {
    bf16_t weight[2][2][kSteps][kTileRows][kPanelDepth];  // [block][tile][quarter]
    float sum[2][4][kTileRows][kPanelRows];               // [panel][quarter]: 0 and 3 are used
    float scale[4][2][kTileRows];                         // [block]
    uint8_t rest_of_page[kPage - sizeof(float) * 4 * 2 * kTileRows];
};
static_assert(sizeof(Workspace) % kPage == 0);

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

// The order of the work: for each batch of chunks, slice of k, chunk, group of panels and block.
struct Place {
    int batch;  // first weight row
    int slice;  // first k
    int chunk;  // first weight row
    int panel;
    int k;
};

inline int even_panels(int n_panels) {
    return (n_panels + 1) / 2 * 2;
}

inline int slice_end(const ChunkedProduct& a, const Place& at) {
    return at.slice + a.slice < a.top.k ? at.slice + a.slice : a.top.k;
}

inline bool advance(const ChunkedProduct& a, Place& at) {
    at.k += kScaleBlock;
    if (at.k < slice_end(a, at)) return true;
    at.k = at.slice;
    at.panel += kGroupPanels;
    if (at.panel < a.n_panels) return true;
    at.panel = 0;
    at.chunk += a.chunk_rows;
    const int batch_end = at.batch + a.batch_chunks * a.chunk_rows;
    if (at.chunk < a.range.end && at.chunk < batch_end) return true;
    at.chunk = at.batch;
    at.slice += a.slice;
    at.k = at.slice;
    if (at.slice < a.top.k) return true;
    at = {batch_end, 0, batch_end, 0, 0};
    return batch_end < a.range.end;
}

// Where the weights of a block lie.
struct BlockSource {
    const uint8_t* row[2];    // of the first row of each tile
    const uint8_t* ahead[2];  // what to announce while that row is decoded
    ptrdiff_t stride[2];      // bytes
    int n_rows[2];
    ptrdiff_t depth;  // columns that exist from here on
};

// Where the sums of up to two panels go, tile t being panel t / 2 and weight rows 16 (t % 2) on.
struct PanelSums {
    PanelTotals* total;
    const float (*scale)[kTileRows];
    int n_tiles;  // 0, 2 or 4
};

template <WeightFormat F, int kColumns>
class ChunkLoop {
  public:
    // total: batch_chunks x even_panels(n_panels), a whole number of pages behind `space`.
    ChunkLoop(const ChunkedProduct& a, Workspace& space, PanelTotals* total) noexcept
        : a_(a), space_(space), total_(total), tiles_(kColumns) {}

    // finish(chunk's first weight row, first panel, panels, their totals)
    template <class Finish>
    void run(const Finish& finish) noexcept {
        if (a_.range.begin >= a_.range.end) return;
        Place at = {a_.range.begin, 0, a_.range.begin, 0, 0};
        set_source(at, 0);
        decode_all(0);
        for (bool more = true; more; ++block_) {
            Place next = at;
            more = advance(a_, next);
            if (more) set_source(next, block_ + 1);
            const int n_panels =
                a_.n_panels - at.panel < kGroupPanels ? a_.n_panels - at.panel : kGroupPanels;
            PanelTotals* total = total_ +
                                 (at.chunk - at.batch) / a_.chunk_rows * even_panels(a_.n_panels) +
                                 at.panel;
            if (at.k == 0) memset(total, 0, static_cast<size_t>(n_panels) * sizeof *total);
            multiply(at, n_panels, total);
            if (at.k + kScaleBlock >= a_.top.k) {
                add_all();
                finish(at.chunk, at.panel, n_panels, total);
            }
            at = next;
            current_ = next_;
        }
    }

  private:
    static constexpr int kBytes = F == WeightFormat::bf16 ? 2 : 1;
    static constexpr ptrdiff_t kStepElements = kPanelDepth * kColumns;

    // Takes the block at `at`, the sequence's number `block`, as the one to decode next.
    void set_source(const Place& at, int block) noexcept {
        const Weight* const w[2] = {&a_.top, &a_.bottom};
        const int first[2] = {at.chunk, at.chunk + a_.bottom_offset};
        // The same rows further on; at their end, or the slice's, those of the next chunk.
        const ptrdiff_t end = slice_end(a_, at);
        ptrdiff_t ahead = at.k + kPrefetchAhead * kScaleBlock;
        ptrdiff_t ahead_rows = 0;
        if (ahead >= end) {
            ahead -= end - at.slice;
            ahead_rows = at.chunk + 2 * a_.chunk_rows <= a_.range.end ? a_.chunk_rows : 0;
        }
        source_.depth = a_.top.k - at.k;
        for (int tile = 0; tile < 2; ++tile) {
            const int n = a_.range.end - first[tile];
            const uint8_t* row = weight_row(*w[tile], n > 0 ? first[tile] : a_.range.begin);
            source_.stride[tile] = w[tile]->stride * kBytes;
            source_.n_rows[tile] = n < 0 ? 0 : n < kTileRows ? n : kTileRows;
            source_.row[tile] = row + static_cast<ptrdiff_t>(at.k) * kBytes;
            source_.ahead[tile] = row + ahead_rows * source_.stride[tile] + ahead * kBytes;
            set_scales(*w[tile], first[tile], source_.n_rows[tile], at.k / kScaleBlock,
                       space_.scale[block % 4][tile]);
        }
    }

    static void set_scales(const Weight& w, int i, int n, ptrdiff_t b, float* scale) noexcept {
        if constexpr (F == WeightFormat::bf16) {
            _mm512_store_ps(scale, _mm512_set1_ps(1.0f));
        } else if (n > 0) {
            const int n_of_first = kScaleBlock - i % kScaleBlock;
            __m512 value = _mm512_set1_ps(scale_row(w, i)[b]);
            if (n_of_first < n)
                value = _mm512_mask_mov_ps(_mm512_set1_ps(scale_row(w, i + n_of_first)[b]),
                                           first_lanes(n_of_first), value);
            _mm512_store_ps(scale, value);
        }
    }

    bool is_whole() const noexcept {
        return source_.depth >= kScaleBlock && source_.n_rows[0] == kTileRows &&
               source_.n_rows[1] == kTileRows;
    }

    // Decodes the 32 k of one step of the next block, for one tile, and announces a quarter of what
    // comes later in these rows.
    void decode_step(const Decoder& decode, int tile, int step) noexcept {
        const ptrdiff_t stride = source_.stride[tile];
        const uint8_t* from = source_.row[tile] + step * kPanelDepth * kBytes;
        auto& weight = space_.weight[next_][tile][step];
        if constexpr (F == WeightFormat::bf16) {
            const uint8_t* ahead = source_.ahead[tile] + step * kPanelDepth * kBytes;
#pragma GCC unroll 16
            for (int row = 0; row < kTileRows; ++row) {
                _mm_prefetch(reinterpret_cast<const char*>(ahead + row * stride), _MM_HINT_T1);
                _mm512_store_si512(weight[row], _mm512_loadu_si512(from + row * stride));
            }
        } else {
            const uint8_t* ahead = source_.ahead[tile] + step % 2 * 8 * stride + step / 2 * 64;
#pragma GCC unroll 8
            for (int row = 0; row < kTileRows; row += 2) {
                _mm_prefetch(reinterpret_cast<const char*>(ahead + row / 2 * stride), _MM_HINT_T1);
                const Bf16x64 w = decode(load_two(from + row * stride, stride));
                _mm512_store_si512(weight[row], w.first);
                _mm512_store_si512(weight[row + 1], w.second);
            }
        }
    }

    // 32 bytes of a row and of the row after it.
    static __m512i load_two(const uint8_t* row, ptrdiff_t stride) noexcept {
        const auto* first = reinterpret_cast<const __m256i*>(row);
        const auto* second = reinterpret_cast<const __m256i*>(row + stride);
        return _mm512_inserti64x4(_mm512_castsi256_si512(_mm256_loadu_si256(first)),
                                  _mm256_loadu_si256(second), 1);
    }

    // The whole block that `set_source` named, into buffer `to`. Rows that do not exist keep what
    // was there: their sums are never looked at.
    void decode_all(int to) noexcept {
        const Decoder decode;
        for (int tile = 0; tile < 2; ++tile)
            for (int row = 0; row < source_.n_rows[tile]; ++row) {
                const uint8_t* from = source_.row[tile] + row * source_.stride[tile];
                for (int half = 0; half < 2; ++half) {
                    const Bf16x64 w =
                        load_weights<F>(decode, from, 64 * half, source_.depth - 64 * half);
                    _mm512_store_si512(space_.weight[to][tile][2 * half][row], w.first);
                    _mm512_store_si512(space_.weight[to][tile][2 * half + 1][row], w.second);
                }
            }
    }

    void multiply(const Place& at, int n_panels, PanelTotals* total) noexcept {
        const int padded = padded_depth(a_.top.k) - at.k;
        const int n_steps = padded < kScaleBlock ? padded / kPanelDepth : kSteps;
        const bf16_t* x =
            a_.x + at.panel * a_.panel_distance + static_cast<ptrdiff_t>(at.k) * kColumns;
        if (n_steps == kSteps && is_whole()) {
            if (n_panels <= 2) {
                next_ = current_;
                return multiply_block<2>(x, kSteps, n_panels, total);
            }
            next_ = 1 - current_;
            return multiply_block<1>(x, kSteps, n_panels, total);
        }
        next_ = 1 - current_;
        decode_all(next_);
        multiply_block<0>(x, n_steps, n_panels, total);
    }

    // kTiles tiles of the next block are decoded beside each pair of panels; 0: it is already.
    template <int kTiles>
    void multiply_block(const bf16_t* x, int n_steps, int n_panels, PanelTotals* total) noexcept {
        for (int p = 0; p < n_panels; p += 2, x += 2 * a_.panel_distance) {
            if (n_panels - p > 1)
                multiply_panels<kTiles, 2>(x, n_steps, p / 2, total + p);
            else
                multiply_panels<kTiles, 1>(x, n_steps, p / 2, total + p);
        }
    }

    // In the first step the sums of the panels before leave the C tiles, each just before its tile
    // is needed again: a tile's store waits for its last product, and later ones for the store.
    // They are added to the totals in the steps that follow.
    template <int kTiles, int kPanels>
    void multiply_panels(const bf16_t* x, int n_steps, int pair, PanelTotals* total) noexcept {
        const Decoder decode;
        const auto& weight = space_.weight[current_];
        auto& sum = space_.sum;
        const bool two = before_.n_tiles == 4;
        const auto decode_beside = [&](int step) {
            if constexpr (kTiles == 1) decode_step(decode, pair, step);
            if constexpr (kTiles == 2) {
                decode_step(decode, 0, step);
                decode_step(decode, 1, step);
            }
        };
        if (late_.n_tiles > 0) add_tile<0>(late_);
        tiles_.template load<4>(weight[0][0], kTileRowBytes);
        tiles_.template load<6>(x, 4 * kColumns);
        tiles_.template load<5>(weight[1][0], kTileRowBytes);
        if constexpr (kPanels == 2) tiles_.template load<7>(x + a_.panel_distance, 4 * kColumns);
        tiles_.template store<0>(sum[0][0], 4 * kColumns);
        tiles_.template zero<0>();
        tiles_.template multiply<0, 4, 6>();
        if (two) tiles_.template store<1>(sum[1][0], 4 * kColumns);
        if constexpr (kPanels == 2) {
            tiles_.template zero<1>();
            tiles_.template multiply<1, 4, 7>();
        }
        tiles_.template store<2>(sum[0][3], 4 * kColumns);
        tiles_.template zero<2>();
        tiles_.template multiply<2, 5, 6>();
        if (two) tiles_.template store<3>(sum[1][3], 4 * kColumns);
        if constexpr (kPanels == 2) {
            tiles_.template zero<3>();
            tiles_.template multiply<3, 5, 7>();
        }
        decode_beside(0);
        for (int step = 1; step < n_steps; ++step) {
            x += kStepElements;
            tiles_.template load<4>(weight[0][step], kTileRowBytes);
            tiles_.template load<6>(x, 4 * kColumns);
            tiles_.template multiply<0, 4, 6>();
            if constexpr (kPanels == 2) {
                tiles_.template load<7>(x + a_.panel_distance, 4 * kColumns);
                tiles_.template multiply<1, 4, 7>();
            }
            tiles_.template load<5>(weight[1][step], kTileRowBytes);
            tiles_.template multiply<2, 5, 6>();
            if constexpr (kPanels == 2) tiles_.template multiply<3, 5, 7>();
            decode_beside(step);
            add_beside(step);
        }
        for (int step = n_steps; step < kSteps; ++step)
            add_beside(step);
        late_ = before_;
        before_ = {total, space_.scale[block_ % 4], 2 * kPanels};
    }

    // Tile t's totals lie in quarter t. Tile 0 waits for the first step of the next panels.
    void add_beside(int step) noexcept {
        if (step >= before_.n_tiles) return;
        if (step == 1) add_tile<1>(before_);
        if (step == 2) add_tile<2>(before_);
        if (step == 3) add_tile<3>(before_);
    }

    // total += scale * sum
    template <int kTile>
    void add_tile(const PanelSums& to) noexcept {
        float* total = to.total[kTile / 2][kTile % 2][0];
        const float* sum = space_.sum[kTile / 2][kTile % 2 * 3][0];
        const float* scale = to.scale[kTile % 2];
        if constexpr (kColumns == 1) {
            _mm512_store_ps(total, _mm512_fmadd_ps(_mm512_load_ps(sum), _mm512_load_ps(scale),
                                                   _mm512_load_ps(total)));
        } else {
#pragma GCC unroll 16
            for (int s = 0; s < kTileRows; ++s) {
                float* row = total + s * kPanelRows;
                _mm512_store_ps(row,
                                _mm512_fmadd_ps(_mm512_load_ps(sum + s * kPanelRows),
                                                _mm512_set1_ps(scale[s]), _mm512_load_ps(row)));
            }
        }
    }

    // What is on its way reaches the totals.
    void add_all() noexcept {
        auto& sum = space_.sum;
        if (late_.n_tiles > 0) add_tile<0>(late_);
        late_ = {};
        tiles_.template store<0>(sum[0][0], 4 * kColumns);
        tiles_.template store<2>(sum[0][3], 4 * kColumns);
        if (before_.n_tiles == 4) {
            tiles_.template store<1>(sum[1][0], 4 * kColumns);
            tiles_.template store<3>(sum[1][3], 4 * kColumns);
        }
        if (before_.n_tiles > 0) add_tile<0>(before_);
        for (int step = 1; step < kSteps; ++step)
            add_beside(step);
        before_ = {};
    }

    const ChunkedProduct& a_;
    Workspace& space_;
    PanelTotals* total_;
    Tiles tiles_;
    BlockSource source_ = {};
    PanelSums before_ = {};  // of the panels multiplied last
    PanelSums late_ = {};    // of those before them, if tile 0 is still to be added
    int block_ = 0;
    int current_ = 0;  // weight buffer of this block
    int next_ = 0;     // and of the next
};

}  // namespace
}  // namespace baltoro::kernels
