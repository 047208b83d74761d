#include "cpu_kernels/amx/kernels.h"
#include "cpu_kernels/amx/tile.h"
// Needs the Tiles of the header above.
#include "cpu_kernels/amx/tile_products.h"
#include "cpu_kernels/amx/transposed.h"

namespace baltoro::kernels::amx {

void rows_product(const RowsProduct& a) noexcept {
    tile_rows_product(a);
}

void rows_gate_up(const RowsGateUp& a) noexcept {
    tile_rows_gate_up(a);
}

size_t row_scratch_bytes(int k) noexcept {
    return tile_row_scratch_bytes(k);
}

void panels_product(const PanelsProduct& a) noexcept {
    tile_panels_product(a);
}

void panels_gate_up(const PanelsGateUp& a) noexcept {
    tile_panels_gate_up(a);
}

size_t panel_scratch_bytes(int, int) noexcept {
    return kPanelScratchBytes;
}

void transposed_product(const TransposedProduct& a) noexcept {
    tile_transposed_product(a);
}

}  // namespace baltoro::kernels::amx
