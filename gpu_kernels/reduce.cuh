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

// Sums kValues (a power of two) values over the lanes of a warp. Lanes exchange halves of what
// they hold, so that 64 values take 62 shuffles instead of 320; every value is summed by the same
// tree of lanes whatever kValues is. Lane l ends up with n_held values, from index first_of(l) on.
template <int kValues>
__device__ void warp_sums(float (&values)[kValues]) {
    int n = kValues;
#pragma unroll
    for (int distance = 16; distance > 0; distance /= 2) {
        if (n == 1) {
            values[0] += __shfl_xor_sync(0xffffffffu, values[0], distance);
            continue;
        }
        n /= 2;
        const bool keeps_upper = (threadIdx.x & static_cast<unsigned>(distance)) != 0;
#pragma unroll
        for (int i = 0; i < kValues / 2; i++) {
            if (i >= n) break;
            const float sent = keeps_upper ? values[i] : values[i + n];
            const float kept = keeps_upper ? values[i + n] : values[i];
            values[i] = kept + __shfl_xor_sync(0xffffffffu, sent, distance);
        }
    }
}

template <int kValues>
__device__ int first_held(int lane) {
    int first = 0;
    int n = kValues;
    for (int distance = 16; distance > 0 && n > 1; distance /= 2) {
        n /= 2;
        if ((lane & distance) != 0) first += n;
    }
    return first;
}

// The sum over a block of kThreads; `warp_sums` is shared memory of kThreads / 32 floats, which may
// be used again after a barrier. Contains one.
template <int kThreads>
__device__ float block_sum(float value, float* warp_sums) {
    constexpr int kWarps = kThreads / 32;
    value = warp_sum(value);
    if (threadIdx.x % 32 == 0) warp_sums[threadIdx.x / 32] = value;
    __syncthreads();
    float sum = 0.0f;
    for (int w = 0; w < kWarps; w++)
        sum += warp_sums[w];
    return sum;
}

}  // namespace
}  // namespace baltoro::gpu
