#pragma once

#include "gpu_kernels/kernels.h"
#include "gpu_kernels/reduce.cuh"
#include "gpu_kernels/simt/simt.h"

namespace baltoro::gpu {
namespace {

struct RmsNormShared {
    float warp_sums[8];
};

// Grid: one block of 256 threads per row. Phases: sum of squares (and the addition), barrier,
// scaled output.
__global__ void rms_norm(RmsNorm args) {
    RmsNormShared& shared = simt::shared<RmsNormShared>();
    const int64_t row = blockIdx.x;
    float* x = args.x + row * args.x_stride;
    float squares = 0.0f;
    for (int i = static_cast<int>(threadIdx.x); i < args.n; i += 256) {
        float value = x[i];
        if (args.addend != nullptr) {
            value += args.addend[row * args.n + i];
            x[i] = value;
        }
        squares += value * value;
    }
    const float sum = block_sum<256>(squares, shared.warp_sums);
    const float inverse = 1.0f / sqrtf(sum / static_cast<float>(args.n) + args.eps);
    for (int i = static_cast<int>(threadIdx.x); i < args.n; i += 256) {
        const float value = simt::f32_from_bf16(args.gain[i]) * (x[i] * inverse);
        if (args.dst_f32 != nullptr) args.dst_f32[row * args.n + i] = value;
        if (args.dst_bf16 != nullptr) args.dst_bf16[row * args.n + i] = simt::bf16_from_f32(value);
    }
}

void launch_rms_norm(simt::Stream* stream, const RmsNorm& args) {
    if (args.n_rows == 0) return;
    simt::launch<RmsNormShared>(stream, {{static_cast<uint32_t>(args.n_rows)}, {256}}, rms_norm,
                                args);
}

}  // namespace
}  // namespace baltoro::gpu
