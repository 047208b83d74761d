#include "cpu_kernels/amx/kernels.h"
#include "cpu_kernels/amx/tile.h"
// Needs the Tiles of the header above.
#include "cpu_kernels/amx/panel_tiles.h"

namespace baltoro::kernels::amx {

void panels_product(const PanelsProduct& a) noexcept {
    panels_product_of<TileLevel>(a);
}

void panels_gate_up(const PanelsGateUp& a) noexcept {
    panels_gate_up_of<TileLevel>(a);
}

}  // namespace baltoro::kernels::amx
