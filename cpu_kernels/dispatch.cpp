#include <cstdint>

#include "cpu_kernels/avx512/avx512.h"
#include "cpu_kernels/avx512_bf16/avx512_bf16.h"
#include "cpu_kernels/isa.h"
#include "cpu_kernels/scalar/scalar.h"

namespace baltoro::kernels {
namespace {

void override_avx512(Table& table) noexcept {
    table.router_product = router_product_avx512;
    table.pack_panel = pack_panel_avx512;
    table.rms_norm = rms_norm_avx512;
    table.softmax_block = softmax_block_avx512;
    table.bf16_from_f32 = bf16_from_f32_avx512;
    table.f32_from_bf16 = f32_from_bf16_avx512;
    table.add = add_avx512;
    table.scale = scale_avx512;
}

void override_avx512_bf16(Table& table) noexcept {
    table.rows_product = rows_product_avx512_bf16;
    table.rows_gate_up = rows_gate_up_avx512_bf16;
    table.transposed_product = transposed_product_avx512_bf16;
    table.panels_product = panels_product_avx512_bf16;
    table.panels_gate_up = panels_gate_up_avx512_bf16;
    table.panel_scratch_bytes = panel_scratch_bytes_avx512_bf16;
    table.panel_min_rows = kMaxRows + 1;
}

// Every level starts from the one below it and overrides what it does better.
struct Tables {
    Table levels[static_cast<int>(IsaLevel::amx) + 1];

    Tables() noexcept {
        Table table{};
        fill_scalar(table);
        at(IsaLevel::scalar) = table;
        at(IsaLevel::avx2) = table;
        override_avx512(table);
        at(IsaLevel::avx512) = table;
        override_avx512_bf16(table);
        at(IsaLevel::avx512_bf16) = table;
        at(IsaLevel::amx) = table;
    }
    Table& at(IsaLevel level) noexcept { return levels[static_cast<int>(level)]; }
};

}  // namespace

const Table& table_for(IsaLevel level) noexcept {
    static const Tables tables;
    return tables.levels[static_cast<int>(level)];
}

}  // namespace baltoro::kernels
