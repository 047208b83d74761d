#pragma once

// The loops of the panel kernels. A chunk of weight rows is decoded one scale block (128 k) at a
// time and multiplied with all panels; block sums enter f32 totals with the exact block scale. The
// next block is decoded in slices between the products of this one, so that its cache misses and
// its decoding overlap with the multiplications. A level supplies
//   Element        what weights are decoded to
//   kUnit          how many weights are decoded together
//   Decoder<F>     a unit of weights -> as many elements, in an order of its own
//   kDivisor       what decoded e4m3 weights are divided by
//   multiply       totals += scale * (decoded block . panels)
//   put_panel      a panel's totals to their places in the result (PanelsProduct)
//   activate_pair  silu(gate) * up of two weight rows and a panel, packed (PanelsGateUp)
// (amx/chunks.h has the same idea for tiles.)

#include <string.h>

#include "cpu_kernels/announce.h"
#include "cpu_kernels/weight_rows.h"

namespace baltoro::kernels {
namespace {

constexpr int kChunk = 24;            // weight rows of a chunk, even
constexpr int kMaxPanels = 16;        // panels whose totals a call keeps
constexpr int kPanelsPerProduct = 4;  // panels of one `multiply` call
constexpr int kPrefetchBlocks = 4;    // scale blocks between a prefetch and its decode, into L2

// One decoded scale block of a chunk, in the decoder's order; zeros where a row or column does not
// exist.
template <class Level>
struct alignas(64) DecodedBlock {
    typename Level::Element weight[kChunk][kScaleBlock];
    float scale[kChunk];
};

// [weight row of the chunk][activation row]
using TotalsOfRow = float[kMaxPanels * kPanelRows];
using PanelTotals = TotalsOfRow[kChunk];

// The totals of n weight rows from i on and of n_rows activation rows from r0 on: one panel, whose
// totals begin at `column`.
struct PanelResult {
    int i;
    int n;
    int r0;
    int n_rows;
    int column;
};

template <class Level>
struct alignas(64) PanelScratch {
    DecodedBlock<Level> block[2];
    alignas(64) PanelTotals total;
};

// The weight rows of a chunk; null rows do not exist.
struct Chunk {
    const uint8_t* row[kChunk];
    const uint8_t* next[kChunk];  // of the chunk that follows, for prefetching
    const float* scale[kChunk];
    int k;
};

// Up to kPanelsPerProduct panels at one scale block.
struct PanelGroup {
    const bf16_t* first;  // pair 0 of the block in the first panel
    size_t panel_elements;
    int n_panels;
    int depth;  // of this block, multiple of kPanelDepth
    int total;  // first column of the totals
};

// Rows of w from i on, up to n_max and below `end`.
inline void set_chunk(Chunk& chunk, int at, const Weight& w, int i, int end, int n_max) {
    const int n = end - i;
    for (int s = 0; s < n_max; ++s) {
        chunk.row[at + s] = s < n ? weight_row(w, i + s) : nullptr;
        chunk.next[at + s] = weight_row(w, s + n_max < n ? i + s + n_max : i);
        chunk.scale[at + s] = s < n ? scale_row(w, i + s) : nullptr;
    }
}

template <class Level, WeightFormat F>
inline void decode_block(const typename Level::template Decoder<F>& decode,
                         const uint8_t* from,
                         typename Level::Element* to) {
#pragma GCC unroll 4
    for (int j = 0; j < kScaleBlock; j += Level::kUnit)
        decode(from + j * kWeightBytes<F>, to + j);
}

// Row s of scale block b.
template <class Level, WeightFormat F>
inline void decode_row(const typename Level::template Decoder<F>& decode,
                       const Chunk& chunk,
                       int s,
                       int b,
                       DecodedBlock<Level>& block) {
    constexpr int kBlockBytes = kScaleBlock * kWeightBytes<F>;
    const uint8_t* const at = chunk.row[s] + static_cast<ptrdiff_t>(b) * kBlockBytes;
    const int ahead = (b + kPrefetchBlocks) * kBlockBytes;
    const int row_bytes = chunk.k * kWeightBytes<F>;
    const uint8_t* const announced =
        ahead < row_bytes ? chunk.row[s] + ahead : chunk.next[s] + (ahead - row_bytes);
    announce_lines<kBlockBytes, kSecondLevel>(announced);
    block.scale[s] = F == WeightFormat::bf16 ? 1.0f : Level::kDivisor * chunk.scale[s][b];
    typename Level::Element* const to = block.weight[s];
    const int n = chunk.k - b * kScaleBlock;
    if (n >= kScaleBlock) {
        decode_block<Level, F>(decode, at, to);
    } else {
        uint8_t padded[kBlockBytes] = {};
        memcpy(padded, at, static_cast<size_t>(n) * kWeightBytes<F>);
        decode_block<Level, F>(decode, padded, to);
    }
}

template <class Level, WeightFormat F>
void decode_rows_of(const Chunk& chunk, RowRange rows, int b, DecodedBlock<Level>& block) noexcept {
    const typename Level::template Decoder<F> decode;
    for (int s = rows.begin; s < rows.end; ++s) {
        if (chunk.row[s])
            decode_row<Level, F>(decode, chunk, s, b, block);
        else
            memset(block.weight[s], 0, sizeof block.weight[s]);
    }
}

// Rows [begin, end) of scale block b.
template <class Level>
inline void decode_rows(
    const Chunk& chunk, bool bf16, RowRange rows, int b, DecodedBlock<Level>& block) {
    if (b * kScaleBlock >= chunk.k) return;
    if (bf16)
        decode_rows_of<Level, WeightFormat::bf16>(chunk, rows, b, block);
    else
        decode_rows_of<Level, WeightFormat::fp8_block>(chunk, rows, b, block);
}

// scratch.total[s][16 * p + lane] = chunk row s . row `lane` of panel p, for n_panels panels.
template <class Level>
void chunk_totals(const Chunk& chunk,
                  bool bf16,
                  const bf16_t* panels,
                  int n_panels,
                  PanelScratch<Level>& scratch) noexcept {
    for (int s = 0; s < kChunk; ++s)
        memset(scratch.total[s], 0, static_cast<size_t>(n_panels) * kPanelRows * sizeof(float));
    const int depth = padded_depth(chunk.k);
    const int n_groups = (n_panels + kPanelsPerProduct - 1) / kPanelsPerProduct;
    decode_rows<Level>(chunk, bf16, {0, kChunk}, 0, scratch.block[0]);
    for (int b = 0; b * kScaleBlock < depth; ++b) {
        const int begin = b * kScaleBlock;
        for (int g = 0; g < n_groups; ++g) {
            const RowRange slice = {kChunk * g / n_groups, kChunk * (g + 1) / n_groups};
            decode_rows<Level>(chunk, bf16, slice, b + 1, scratch.block[(b + 1) & 1]);
            const int p = g * kPanelsPerProduct;
            const PanelGroup group = {
                .first = panels + p * panel_elements(chunk.k) + begin * kPanelRows,
                .panel_elements = panel_elements(chunk.k),
                .n_panels = n_panels - p < kPanelsPerProduct ? n_panels - p : kPanelsPerProduct,
                .depth = depth - begin < kScaleBlock ? depth - begin : kScaleBlock,
                .total = p * kPanelRows};
            Level::multiply(scratch.block[b & 1], group, scratch.total);
        }
    }
}

template <class Level>
void panels_product_of(const PanelsProduct& a) noexcept {
    PanelScratch<Level>& scratch = *static_cast<PanelScratch<Level>*>(a.scratch);
    constexpr int kRows = kMaxPanels * kPanelRows;
    for (int i = a.range.begin; i < a.range.end; i += kChunk) {
        const int n = a.range.end - i < kChunk ? a.range.end - i : kChunk;
        Chunk chunk;
        chunk.k = a.w.k;
        set_chunk(chunk, 0, a.w, i, a.range.end, kChunk);
        for (int r0 = 0; r0 < a.n_rows; r0 += kRows) {
            const int n_rows = a.n_rows - r0 < kRows ? a.n_rows - r0 : kRows;
            chunk_totals<Level>(chunk, a.w.format == WeightFormat::bf16,
                                a.panels + r0 / kPanelRows * panel_elements(a.w.k),
                                (n_rows + kPanelRows - 1) / kPanelRows, scratch);
            for (int r = 0; r < n_rows; r += kPanelRows)
                Level::put_panel(a,
                                 {.i = i,
                                  .n = n,
                                  .r0 = r0 + r,
                                  .n_rows = n_rows - r < kPanelRows ? n_rows - r : kPanelRows,
                                  .column = r},
                                 scratch.total);
        }
    }
}

template <class Level>
void panels_gate_up_of(const PanelsGateUp& a) noexcept {
    PanelScratch<Level>& scratch = *static_cast<PanelScratch<Level>*>(a.scratch);
    constexpr int kRows = kMaxPanels * kPanelRows;
    constexpr int kHalf = kChunk / 2;
    for (int i = a.range.begin; i < a.range.end; i += kHalf) {
        const int n = a.range.end - i < kHalf ? a.range.end - i : kHalf;
        Chunk chunk;
        chunk.k = a.gate.k;
        set_chunk(chunk, 0, a.gate, i, a.range.end, kHalf);
        set_chunk(chunk, kHalf, a.up, i, a.range.end, kHalf);
        for (int r0 = 0; r0 < a.n_rows; r0 += kRows) {
            const int n_rows = a.n_rows - r0 < kRows ? a.n_rows - r0 : kRows;
            const int n_panels = (n_rows + kPanelRows - 1) / kPanelRows;
            chunk_totals<Level>(chunk, a.gate.format == WeightFormat::bf16,
                                a.panels + r0 / kPanelRows * panel_elements(a.gate.k), n_panels,
                                scratch);
            for (int p = 0; p < n_panels; ++p) {
                bf16_t* panel = a.dst_panels + (r0 / kPanelRows + p) * panel_elements(a.gate.n);
                const int column = p * kPanelRows;
                const int n_lanes = n_rows - column < kPanelRows ? n_rows - column : kPanelRows;
                for (int s = 0; s < n; s += 2)
                    Level::activate_pair(&scratch.total[s], &scratch.total[kHalf + s], column,
                                         n_lanes,
                                         panel + static_cast<ptrdiff_t>(i + s) * kPanelRows);
            }
        }
    }
}

}  // namespace
}  // namespace baltoro::kernels
