#pragma once

#include "cpu_kernels/amx/chunk_loop.h"
#include "cpu_kernels/avx512/kernels.h"
#include "cpu_kernels/avx512/put_sums.h"
#include "cpu_kernels/avx512/transpose.h"

// Row and panel products from the chunk loop: how much of the work is done at a time, and what
// becomes of the totals. Rows and panels have the same arithmetic.
namespace baltoro::kernels {
namespace {

struct RowScratch {
    Workspace space;
    PairSums total[1];  // the packed panel follows
};

struct PanelScratch {
    Workspace space;
    PairSums total[kSlicedChunks * kMaxPanels / 2];
};

static_assert(sizeof(RowScratch) % kPage == 0);

// The first place in the scratch that lies in a page as `like` does; scratches are a page longer
// than what they hold.
inline void* aligned_like(void* scratch, uintptr_t like) {
    const auto at = reinterpret_cast<uintptr_t>(scratch);
    return static_cast<uint8_t*>(scratch) + (like - at) % kPage;
}

template <class Finish>
void run_chunks(const ChunkedProduct& a,
                bool one_column,
                Workspace& space,
                PairSums* total,
                const Finish& finish) noexcept {
    const bool bf16 = a.top.format == WeightFormat::bf16;
    if (bf16 && one_column)
        ChunkLoop<WeightFormat::bf16, 1>(a, space, total).run(finish);
    else if (bf16)
        ChunkLoop<WeightFormat::bf16, kPanelRows>(a, space, total).run(finish);
    else if (one_column)
        ChunkLoop<WeightFormat::fp8_block, 1>(a, space, total).run(finish);
    else
        ChunkLoop<WeightFormat::fp8_block, kPanelRows>(a, space, total).run(finish);
}

// One row is read as it lies; more, or a ragged depth, are packed as a panel.
inline bool is_one_column(int n_rows, int k) {
    return n_rows == 1 && k % kPanelDepth == 0;
}

// Up to 16 rows.
template <class Finish>
void run_rows(ChunkedProduct a,
              const bf16_t* x,
              ptrdiff_t x_stride,
              int n_rows,
              void* scratch,
              const Finish& finish) noexcept {
    RowScratch& rows = *static_cast<RowScratch*>(aligned_like(scratch, 0));
    const bool one_column = is_one_column(n_rows, a.top.k);
    a.x = x;
    if (!one_column) {
        auto* panel = reinterpret_cast<bf16_t*>(&rows + 1);
        avx512::pack_panel({x, x_stride, nullptr, n_rows, a.top.k, panel});
        a.x = panel;
    }
    a.panel_distance = 0;
    a.n_panels = 1;
    a.slice = padded_depth(a.top.k);
    a.batch_chunks = 1;
    run_chunks(a, one_column, rows.space, rows.total, finish);
}

// Up to kMaxPanels panels. Where they do not fit the second cache level together, k is cut.
template <class Finish>
void run_panels(ChunkedProduct a,
                const bf16_t* panels,
                int n_panels,
                void* memory,
                const Finish& finish) noexcept {
    PanelScratch& scratch =
        *static_cast<PanelScratch*>(aligned_like(memory, reinterpret_cast<uintptr_t>(panels)));
    a.x = panels;
    a.panel_distance = static_cast<ptrdiff_t>(panel_elements(a.top.k));
    a.n_panels = n_panels;
    const auto k_bytes = static_cast<size_t>(n_panels) * kPanelRows * sizeof(bf16_t);
    const bool fits = k_bytes * static_cast<size_t>(a.top.k) <= kResidentBytes;
    a.slice = fits ? padded_depth(a.top.k)
                   : static_cast<int>(kResidentBytes / k_bytes) / kScaleBlock * kScaleBlock;
    a.batch_chunks = fits ? 1 : kSlicedChunks;
    run_chunks(a, false, scratch.space, scratch.total, finish);
}

inline void load_transposed(const TileSums& tile, __m512i (&v)[16]) {
    for (int s = 0; s < kTileRows; ++s)
        v[s] = _mm512_load_si512(tile[s]);
    transpose(v);
}

// Of the 16 weight rows from i on, those of the range: counted from i, and as lanes.
inline RowRange rows_in(RowRange range, int i) {
    return {range.begin > i ? range.begin - i : 0,
            range.end - i < kTileRows ? range.end - i : kTileRows};
}
inline __mmask16 lanes_in(RowRange range, int i) {
    return first_lanes(range.end - i) & static_cast<__mmask16>(~first_lanes(range.begin - i));
}

// The totals of one panel whose first row is r0.
template <class Product>
void put_panel(
    const Product& a, int chunk, int r0, int n_rows, const TileSums& top, const TileSums& bottom) {
    for (int tile = 0; tile < 2; ++tile) {
        const int i = chunk + tile * kTileRows;
        const __mmask16 lanes = lanes_in(a.range, i);
        if (lanes == 0) continue;
        __m512i v[16];
        load_transposed(tile == 0 ? top : bottom, v);
        for (int r = 0; r < n_rows; ++r)
            put_sums(a, r0 + r, i, lanes, _mm512_castsi512_ps(v[r]));
    }
}

inline __m512i activated(const TileSums& gate, const TileSums& up, int s) {
    return bf16_bits_ps(_mm512_mul_ps(silu_ps(_mm512_load_ps(gate[s])), _mm512_load_ps(up[s])));
}

void tile_rows_product(const RowsProduct& a) noexcept {
    if (a.n_rows == 0) return;
    const bool one_column = is_one_column(a.n_rows, a.w.k);
    run_rows(chunks_of(a.w, a.range), a.x, a.x_stride, a.n_rows, a.scratch,
             [&](int chunk, int, const TileSums& top, const TileSums& bottom) {
                 if (!one_column) return put_panel(a, chunk, 0, a.n_rows, top, bottom);
                 const int i = chunk + kTileRows;
                 put_sums(a, 0, chunk, lanes_in(a.range, chunk), _mm512_load_ps(top[0]));
                 put_sums(a, 0, i, lanes_in(a.range, i), _mm512_load_ps(bottom[0]));
             });
}

void tile_rows_gate_up(const RowsGateUp& a) noexcept {
    if (a.n_rows == 0) return;
    const bool one_column = is_one_column(a.n_rows, a.gate.k);
    run_rows(chunks_of(a.gate, a.up, a.range), a.x, a.x_stride, a.n_rows, a.scratch,
             [&](int chunk, int, const TileSums& gate, const TileSums& up) {
                 bf16_t* dst = a.dst + chunk;
                 if (one_column) {
                     _mm256_mask_storeu_epi16(dst, lanes_in(a.range, chunk),
                                              _mm512_cvtepi32_epi16(activated(gate, up, 0)));
                     return;
                 }
                 const RowRange rows = rows_in(a.range, chunk);
                 for (int s = rows.begin; s < rows.end; ++s) {
                     bf16_t value[kPanelRows];
                     _mm256_storeu_si256(reinterpret_cast<__m256i*>(value),
                                         _mm512_cvtepi32_epi16(activated(gate, up, s)));
                     for (int r = 0; r < a.n_rows; ++r)
                         dst[r * a.dst_stride + s] = value[r];
                 }
             });
}

// Rows of a call, at most kMaxPanels panels at a time.
template <class Work>
void for_panels(int n_rows, const Work& work) {
    for (int r0 = 0; r0 < n_rows; r0 += kMaxPanels * kPanelRows) {
        const int n = n_rows - r0 < kMaxPanels * kPanelRows ? n_rows - r0 : kMaxPanels * kPanelRows;
        work(r0, (n + kPanelRows - 1) / kPanelRows);
    }
}

void tile_panels_product(const PanelsProduct& a) noexcept {
    for_panels(a.n_rows, [&](int r0, int n_panels) {
        run_panels(chunks_of(a.w, a.range), a.panels + r0 / kPanelRows * panel_elements(a.w.k),
                   n_panels, a.scratch,
                   [&](int chunk, int p, const TileSums& top, const TileSums& bottom) {
                       const int row = r0 + p * kPanelRows;
                       const int n = a.n_rows - row < kPanelRows ? a.n_rows - row : kPanelRows;
                       put_panel(a, chunk, row, n, top, bottom);
                   });
    });
}

void tile_panels_gate_up(const PanelsGateUp& a) noexcept {
    const size_t distance = panel_elements(a.gate.n);
    for_panels(a.n_rows, [&](int r0, int n_panels) {
        run_panels(
            chunks_of(a.gate, a.up, a.range), a.panels + r0 / kPanelRows * panel_elements(a.gate.k),
            n_panels, a.scratch, [&](int chunk, int p, const TileSums& gate, const TileSums& up) {
                const int panel = r0 / kPanelRows + p;
                const __mmask16 lanes = first_lanes(a.n_rows - panel * kPanelRows);
                bf16_t* dst =
                    a.dst_panels + panel * distance + static_cast<ptrdiff_t>(chunk) * kPanelRows;
                const RowRange rows = rows_in(a.range, chunk);
                // Pairs of weight rows; the second of the last one may not exist.
                for (int s = rows.begin; s < rows.end; s += 2) {
                    __m512i pair = activated(gate, up, s);
                    if (s + 1 < rows.end)
                        pair = _mm512_or_si512(pair,
                                               _mm512_slli_epi32(activated(gate, up, s + 1), 16));
                    _mm512_storeu_si512(dst + s * kPanelRows, _mm512_maskz_mov_epi32(lanes, pair));
                }
            });
    });
}

constexpr size_t kPanelScratchBytes = kPage + sizeof(PanelScratch);

inline size_t tile_row_scratch_bytes(int k) noexcept {
    return kPage + sizeof(RowScratch) + panel_elements(k) * sizeof(bf16_t);
}

}  // namespace
}  // namespace baltoro::kernels
