#pragma once

#include "cpu_kernels/kernels.h"

// f32 arithmetic in 256-bit vectors. Contracts in cpu_kernels/kernels.h.
namespace baltoro::kernels::avx2 {

size_t row_scratch_bytes(int k) noexcept;
void rows_product(const RowsProduct& a) noexcept;
void rows_gate_up(const RowsGateUp& a) noexcept;
void transposed_product(const TransposedProduct& a) noexcept;
void router_product(const RouterProduct& a) noexcept;
void pack_panel(const PackPanel& a) noexcept;
void panels_product(const PanelsProduct& a) noexcept;
void panels_gate_up(const PanelsGateUp& a) noexcept;
size_t panel_scratch_bytes(int k, int n_rows) noexcept;

void rms_norm(const RmsNorm& a) noexcept;
void softmax_block(const SoftmaxBlock& a) noexcept;
void bf16_from_f32(const float* src, bf16_t* dst, size_t n) noexcept;
void f32_from_bf16(const bf16_t* src, float* dst, size_t n) noexcept;
void add(const float* src, float* dst, size_t n) noexcept;
void scale(float factor, float* dst, size_t n) noexcept;

}  // namespace baltoro::kernels::avx2
