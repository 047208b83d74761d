#include "cpu_kernels/avx512_bf16/kernels.h"
#include "cpu_kernels/isa.h"
#include "cpu_kernels/levels.h"

namespace baltoro::kernels::avx512_bf16 {

void install_for(size_t first_level_bytes, Table& table) noexcept {
    // Zen 5 has 48 KB, Zen 4 has 32.
    const bool streams = first_level_bytes >= 48 * 1024;
    table.rows_product = streams ? rows_product_streaming : rows_product;
    table.rows_gate_up = streams ? rows_gate_up_streaming : rows_gate_up;
    table.row_scratch_bytes = row_scratch_bytes;
    table.panels_product = panels_product;
    table.panels_gate_up = panels_gate_up;
    table.panel_scratch_bytes = panel_scratch_bytes;
    // gate+up of 28 rows: 4.7 ms by rows, 4.9 by panels; 32 rows: 5.3 and 4.9 (see README.md).
    table.panel_min_rows = 28;
}

void install(Table& table) noexcept {
    install_for(first_level_bytes(), table);
}

}  // namespace baltoro::kernels::avx512_bf16
