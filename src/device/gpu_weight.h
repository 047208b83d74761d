#pragma once

#include "base/check.h"
#include "device/device.h"
#include "device/device_scratch.h"
#include "gpu_kernels/kernels.h"

namespace baltoro::device {

// A device's matrix as GPU kernels take it.
inline gpu::Weight gpu_weight(const Matrix& matrix) {
    switch (matrix.dtype) {
        case DType::bf16:
            return {matrix.data, nullptr, matrix.n, matrix.k, gpu::WeightFormat::bf16};
        case DType::f32:
            return {matrix.data, nullptr, matrix.n, matrix.k, gpu::WeightFormat::f32};
        default:
            break;
    }
    check(matrix.dtype == DType::f8_e4m3 && matrix.scale != nullptr,
          "a weight is bf16, f32 or block fp8");
    return {matrix.data, matrix.scale, matrix.n, matrix.k, gpu::WeightFormat::fp8_block};
}

inline gpu::WeightFormat gpu_format(DType dtype) {
    check(dtype == DType::bf16 || dtype == DType::f8_e4m3, "experts are bf16 or block fp8");
    return dtype == DType::bf16 ? gpu::WeightFormat::bf16 : gpu::WeightFormat::fp8_block;
}

inline gpu::ExpertSlotLayout gpu_slot_layout(const ExpertShape& shape) {
    return gpu::expert_slot_layout(shape.hidden_size, shape.moe_intermediate_size,
                                   gpu_format(shape.dtype));
}

inline gpu::MlaShapes gpu_shapes(const MlaShapes& shapes) noexcept {
    return {shapes.n_heads, shapes.kv_lora_rank, shapes.qk_nope_head_dim, shapes.qk_rope_head_dim,
            shapes.v_head_dim};
}

// The weight as bf16: where it lies, or dequantised into `scratch`, for work queued before the
// scratch is used again.
inline const bf16_t* expanded(GpuPlatform& platform, const Matrix& weight, DeviceScratch& scratch) {
    if (weight.dtype == DType::bf16) return static_cast<const bf16_t*>(weight.data);
    bf16_t* dst = scratch.get<bf16_t>(static_cast<std::size_t>(weight.n) *
                                      static_cast<std::size_t>(weight.k));
    platform.kernels().dequantise(platform.stream(), {gpu_weight(weight), dst});
    return dst;
}

}  // namespace baltoro::device
