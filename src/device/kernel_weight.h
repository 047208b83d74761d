#pragma once

#include "cpu_kernels/kernels.h"
#include "device/device.h"

namespace baltoro::device {

// A matrix that lies in host memory, as the CPU kernels take it. Precondition: bf16 or block fp8.
inline kernels::Weight kernel_weight(const Matrix& matrix) noexcept {
    const bool fp8 = matrix.dtype == DType::f8_e4m3;
    return {matrix.data, matrix.scale,
            matrix.n,    matrix.k,
            matrix.k,    fp8 ? kernels::WeightFormat::fp8_block : kernels::WeightFormat::bf16};
}

}  // namespace baltoro::device
