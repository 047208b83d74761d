#pragma once

#include "cpu_kernels/kernels.h"

// The scalar kernels by name, for the table and for levels that fall back on one of them.

namespace baltoro::kernels {

void rows_product_scalar(const RowsProduct& args) noexcept;
void rows_gate_up_scalar(const RowsGateUp& args) noexcept;
void transposed_product_scalar(const TransposedProduct& args) noexcept;
void router_product_scalar(const RouterProduct& args) noexcept;
void pack_panel_scalar(const PackPanel& args) noexcept;
void panels_product_scalar(const PanelsProduct& args) noexcept;
void panels_gate_up_scalar(const PanelsGateUp& args) noexcept;
size_t panel_scratch_bytes_scalar(int k, int n_rows) noexcept;

void rms_norm_scalar(const RmsNorm& args) noexcept;
void softmax_block_scalar(const SoftmaxBlock& args) noexcept;
void bf16_from_f32_scalar(const float* src, bf16_t* dst, size_t n) noexcept;
void f32_from_bf16_scalar(const bf16_t* src, float* dst, size_t n) noexcept;
void add_scalar(const float* src, float* dst, size_t n) noexcept;
void scale_scalar(float factor, float* dst, size_t n) noexcept;

}  // namespace baltoro::kernels
