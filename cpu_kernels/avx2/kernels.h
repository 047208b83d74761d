#pragma once

#include "cpu_kernels/kernels.h"

// f32 arithmetic in 256-bit vectors. Contracts in cpu_kernels/kernels.h.
namespace baltoro::kernels::avx2 {

size_t row_scratch_bytes(int k) noexcept;
void rows_product(const RowsProduct& a) noexcept;
void rows_gate_up(const RowsGateUp& a) noexcept;
void transposed_product(const TransposedProduct& a) noexcept;
void router_product(const RouterProduct& a) noexcept;

}  // namespace baltoro::kernels::avx2
