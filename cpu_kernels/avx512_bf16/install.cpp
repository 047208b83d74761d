#include "cpu_kernels/avx512_bf16/kernels.h"
#include "cpu_kernels/levels.h"

namespace baltoro::kernels::avx512_bf16 {

void install(Table& table) noexcept {
    table.rows_product = rows_product;
    table.rows_gate_up = rows_gate_up;
    table.row_scratch_bytes = row_scratch_bytes;
    table.panels_product = panels_product;
    table.panels_gate_up = panels_gate_up;
    table.panel_scratch_bytes = panel_scratch_bytes;
    // gate+up of 28 rows: 4.7 ms by rows, 4.9 by panels; 32 rows: 5.3 and 4.9 (see README.md).
    table.panel_min_rows = 28;
}

}  // namespace baltoro::kernels::avx512_bf16
