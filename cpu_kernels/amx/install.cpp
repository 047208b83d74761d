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
    table.panel_min_rows = 2;
}

}  // namespace baltoro::kernels::amx
