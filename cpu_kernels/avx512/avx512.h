#pragma once

#include "cpu_kernels/kernels.h"

namespace baltoro::kernels {

void router_product_avx512(const RouterProduct& args) noexcept;
void pack_panel_avx512(const PackPanel& args) noexcept;
void rms_norm_avx512(const RmsNorm& args) noexcept;
void softmax_block_avx512(const SoftmaxBlock& args) noexcept;
void bf16_from_f32_avx512(const float* src, bf16_t* dst, size_t n) noexcept;
void f32_from_bf16_avx512(const bf16_t* src, float* dst, size_t n) noexcept;
void add_avx512(const float* src, float* dst, size_t n) noexcept;
void scale_avx512(float factor, float* dst, size_t n) noexcept;

}  // namespace baltoro::kernels
