#pragma once

#include "cpu_kernels/kernels.h"

namespace baltoro::kernels {

void rows_product_avx512_bf16(const RowsProduct& args) noexcept;
void rows_gate_up_avx512_bf16(const RowsGateUp& args) noexcept;
void transposed_product_avx512_bf16(const TransposedProduct& args) noexcept;
void panels_product_avx512_bf16(const PanelsProduct& args) noexcept;
void panels_gate_up_avx512_bf16(const PanelsGateUp& args) noexcept;
size_t panel_scratch_bytes_avx512_bf16(int k, int n_rows) noexcept;

}  // namespace baltoro::kernels
