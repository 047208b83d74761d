#include "cpu_kernels/avx2/kernels.h"
#include "cpu_kernels/levels.h"

namespace baltoro::kernels::avx2 {

void install(Table& table) noexcept {
    table.row_scratch_bytes = row_scratch_bytes;
    table.rows_product = rows_product;
    table.rows_gate_up = rows_gate_up;
    table.transposed_product = transposed_product;
    table.router_product = router_product;
    table.pack_panel = pack_panel;
    table.panels_product = panels_product;
    table.panels_gate_up = panels_gate_up;
    table.panel_scratch_bytes = panel_scratch_bytes;
    // A line of 64 weights in cache on Emerald Rapids, cycles: 16 and 8 rows by rows together
    // 130-152, two panels 150-190, 16 rows twice 166-196. Not measured on AMD.
    table.panel_min_rows = 26;
    table.rms_norm = rms_norm;
    table.softmax_block = softmax_block;
    table.bf16_from_f32 = bf16_from_f32;
    table.f32_from_bf16 = f32_from_bf16;
    table.add = add;
    table.scale = scale;
}

}  // namespace baltoro::kernels::avx2
