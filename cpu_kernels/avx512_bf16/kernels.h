#pragma once

#include "cpu_kernels/kernels.h"

// Kernels with VDPBF16PS, which sums pairs of bf16 products in f32 and takes subnormal operands and
// results as zero; an e4m3 weight is never subnormal as bf16. Contracts in cpu_kernels/kernels.h.
namespace baltoro::kernels::avx512_bf16 {

void rows_product(const RowsProduct& a) noexcept;
void rows_gate_up(const RowsGateUp& a) noexcept;
// The same sums; of one or two activation rows weight rows go by one by one, which makes reading a
// tenth to a quarter faster on Zen 5 and takes more instructions (README.md).
void rows_product_streaming(const RowsProduct& a) noexcept;
void rows_gate_up_streaming(const RowsGateUp& a) noexcept;
size_t row_scratch_bytes(int k) noexcept;
void panels_product(const PanelsProduct& a) noexcept;
void panels_gate_up(const PanelsGateUp& a) noexcept;
size_t panel_scratch_bytes(int k, int n_rows) noexcept;

}  // namespace baltoro::kernels::avx512_bf16
