#pragma once

#include "cpu_kernels/kernels.h"

// Products in AMX tiles (TDPBF16PS); operands and results that are subnormal count as zero.
namespace baltoro::kernels::amx {

void rows_product(const RowsProduct& a) noexcept;
void rows_gate_up(const RowsGateUp& a) noexcept;
size_t row_scratch_bytes(int k) noexcept;
void panels_product(const PanelsProduct& a) noexcept;
void panels_gate_up(const PanelsGateUp& a) noexcept;
size_t panel_scratch_bytes(int k, int n_rows) noexcept;
void transposed_product(const TransposedProduct& a) noexcept;

}  // namespace baltoro::kernels::amx

// The same kernels with tiles in memory, for tests on any CPU with avx512_bf16.
namespace baltoro::kernels::amx_emulated {

void rows_product(const RowsProduct& a) noexcept;
void rows_gate_up(const RowsGateUp& a) noexcept;
size_t row_scratch_bytes(int k) noexcept;
void panels_product(const PanelsProduct& a) noexcept;
void panels_gate_up(const PanelsGateUp& a) noexcept;
size_t panel_scratch_bytes(int k, int n_rows) noexcept;
void transposed_product(const TransposedProduct& a) noexcept;

}  // namespace baltoro::kernels::amx_emulated
