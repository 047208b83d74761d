#pragma once

#include "gpu_kernels/simt/simt.h"

namespace baltoro::gpu {
namespace {

// The pair (x0, x1) turned by its angle, as two bf16; `rope` points to the cosine and the sine.
__device__ uint32_t rotated_pair(float x0, float x1, const float* rope) {
    const float cosine = rope[0];
    const float sine = rope[1];
    return simt::bf16x2_from_f32(x0 * cosine - x1 * sine, x1 * cosine + x0 * sine);
}

}  // namespace
}  // namespace baltoro::gpu
