#pragma once

#include "cpu_kernels/panel_chunks.h"

// The panel kernel in tiles. Include tile.h or tile_emulated.h first; it supplies `Tiles`.
namespace baltoro::kernels {
namespace {

// 32 weight rows x 32 activation rows per 2 x 2 tiles: A = 16 decoded weight rows x 32 k, B = 16
// pairs of one panel, C = 16 weight rows x 16 activation rows. The panels' block (4 KB each) and
// the decoded block (8 KB) stay in L1; C leaves for the f32 totals once per scale block.
struct TileLevel {
    static constexpr int kChunk = 32;

    using Context = Tiles;

    static void multiply(Tiles& tiles,
                         const DecodedBlock& block,
                         const PanelGroup& panels,
                         PanelScratch& scratch) noexcept {
        for (int p = 0; p + 2 <= panels.n_panels; p += 2)
            multiply_two(tiles, block, panels, p, scratch);
        if (panels.n_panels % 2 != 0)
            multiply_one(tiles, block, panels, panels.n_panels - 1, scratch);
    }

    static void multiply_two(Tiles& tiles,
                             const DecodedBlock& block,
                             const PanelGroup& panels,
                             int p,
                             PanelScratch& scratch) noexcept {
        const bf16_t* first = panels.first + p * panels.panel_elements;
        tiles.zero<0>();
        tiles.zero<1>();
        tiles.zero<2>();
        tiles.zero<3>();
        for (ptrdiff_t j = 0; j < panels.depth; j += kPanelDepth) {
            tiles.load<4>(&block.weight[0][j], sizeof block.weight[0]);
            tiles.load<6>(first + j * kPanelRows, kTileRowBytes);
            tiles.multiply<0, 4, 6>();
            tiles.load<7>(first + panels.panel_elements + j * kPanelRows, kTileRowBytes);
            tiles.multiply<1, 4, 7>();
            tiles.load<5>(&block.weight[kTileRows][j], sizeof block.weight[0]);
            tiles.multiply<2, 5, 6>();
            tiles.multiply<3, 5, 7>();
        }
        tiles.store<0>(scratch.tile[0], kTileRowBytes);
        tiles.store<1>(scratch.tile[1], kTileRowBytes);
        tiles.store<2>(scratch.tile[2], kTileRowBytes);
        tiles.store<3>(scratch.tile[3], kTileRowBytes);
        const int column = panels.total + p * kPanelRows;
        add_tile(block, 0, scratch.tile[0], column, scratch);
        add_tile(block, 0, scratch.tile[1], column + kPanelRows, scratch);
        add_tile(block, kTileRows, scratch.tile[2], column, scratch);
        add_tile(block, kTileRows, scratch.tile[3], column + kPanelRows, scratch);
    }

    static void multiply_one(Tiles& tiles,
                             const DecodedBlock& block,
                             const PanelGroup& panels,
                             int p,
                             PanelScratch& scratch) noexcept {
        const bf16_t* first = panels.first + p * panels.panel_elements;
        tiles.zero<0>();
        tiles.zero<2>();
        for (ptrdiff_t j = 0; j < panels.depth; j += kPanelDepth) {
            tiles.load<4>(&block.weight[0][j], sizeof block.weight[0]);
            tiles.load<6>(first + j * kPanelRows, kTileRowBytes);
            tiles.load<5>(&block.weight[kTileRows][j], sizeof block.weight[0]);
            tiles.multiply<0, 4, 6>();
            tiles.multiply<2, 5, 6>();
        }
        tiles.store<0>(scratch.tile[0], kTileRowBytes);
        tiles.store<2>(scratch.tile[2], kTileRowBytes);
        add_tile(block, 0, scratch.tile[0], panels.total + p * kPanelRows, scratch);
        add_tile(block, kTileRows, scratch.tile[2], panels.total + p * kPanelRows, scratch);
    }

    // totals += scale * tile, 16 weight rows from s0 on.
    static void add_tile(const DecodedBlock& block,
                         int s0,
                         const float (&tile)[kPanelRows][kPanelRows],
                         int column,
                         PanelScratch& scratch) noexcept {
        for (int s = 0; s < kTileRows; ++s) {
            float* total = &scratch.total[s0 + s][column];
            const __m512 scale = _mm512_set1_ps(block.scale[s0 + s]);
            _mm512_store_ps(total,
                            _mm512_fmadd_ps(_mm512_load_ps(tile[s]), scale, _mm512_load_ps(total)));
        }
    }
};

}  // namespace
}  // namespace baltoro::kernels
