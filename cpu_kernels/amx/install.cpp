#include "cpu_kernels/amx/kernels.h"
#include "cpu_kernels/levels.h"

namespace baltoro::kernels::amx {

void install(Table& table) noexcept {
    table.rows_product = rows_product;
    table.rows_gate_up = rows_gate_up;
    table.row_scratch_bytes = row_scratch_bytes;
    table.panels_product = panels_product;
    table.panels_gate_up = panels_gate_up;
    table.panel_scratch_bytes = panel_scratch_bytes;
    table.transposed_product = transposed_product;
    // gate+up of 8 rows: 1703 us by rows, 1640 by panels; 16 rows: 1699 and 1617 (see README.md).
    // By rows every worker packs for itself, so more than two workers make panels pay earlier.
    table.panel_min_rows = 8;
}

}  // namespace baltoro::kernels::amx
