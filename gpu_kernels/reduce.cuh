#pragma once

#include "gpu_kernels/simt/simt.h"

namespace baltoro::gpu {
namespace {

// The sum over the 32 lanes of a warp, in the same order on every lane.
__device__ float warp_sum(float value) {
    for (int distance = 16; distance > 0; distance /= 2)
        value += __shfl_xor_sync(0xffffffffu, value, distance);
    return value;
}

__device__ float warp_max(float value) {
    for (int distance = 16; distance > 0; distance /= 2)
        value = fmaxf(value, __shfl_xor_sync(0xffffffffu, value, distance));
    return value;
}

// The sum over a block of kThreads; `warp_sums` is shared memory of kThreads / 32 floats. Contains
// two barriers, so the memory may be used again at once.
template <int kThreads>
__device__ float block_sum(float value, float* warp_sums) {
    constexpr int kWarps = kThreads / 32;
    value = warp_sum(value);
    if (threadIdx.x % 32 == 0) warp_sums[threadIdx.x / 32] = value;
    __syncthreads();
    float sum = 0.0f;
    for (int w = 0; w < kWarps; w++)
        sum += warp_sums[w];
    __syncthreads();
    return sum;
}

}  // namespace
}  // namespace baltoro::gpu
