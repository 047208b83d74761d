#pragma once

#include "gpu_kernels/elementwise.cuh"
#include "gpu_kernels/kernels.h"
#include "gpu_kernels/simt/simt.h"
#include "gpu_kernels/weight_loads.cuh"

namespace baltoro::gpu {
namespace {

__device__ float weight_at(const Weight& w, int64_t i) {
    if (w.format == WeightFormat::f32) return static_cast<const float*>(w.data)[i];
    return simt::f32x4_from_e4m3x4(static_cast<const uint8_t*>(w.data)[i]).x;
}

// Grid: one thread of a block of 256 for 16 weights, row after row, so that narrow matrices keep
// all threads busy. Rows whose length is not a multiple of 16 are taken one by one.
template <WeightFormat kFormat>
__global__ void dequantise(Dequantise args) {
    const uint32_t per_row = static_cast<uint32_t>((args.w.k + kLoadWeights - 1) / kLoadWeights);
    const uint32_t idx = blockIdx.x * kElementThreads + threadIdx.x;
    const int row = static_cast<int>(idx / per_row);
    const int j = static_cast<int>(idx % per_row) * kLoadWeights;
    if (row >= args.w.n) return;
    const int64_t at = static_cast<int64_t>(row) * args.w.k + j;
    float scale = 1.0f;
    if (args.w.scale != nullptr) {
        const int blocks = (args.w.k + kScaleBlock - 1) / kScaleBlock;
        scale = args.w.scale[row / kScaleBlock * blocks + j / kScaleBlock];
    }
    if (args.w.k % kLoadWeights != 0) {
        for (int i = 0; i < kLoadWeights && j + i < args.w.k; i++)
            args.dst[at + i] = simt::bf16_from_f32(weight_at(args.w, at + i) * scale);
        return;
    }
    float values[kLoadWeights];
    decode_weights<kFormat>(
        load_weights<kFormat>(static_cast<const char*>(args.w.data) + at * kWeightBytes<kFormat>),
        values);
    uint32_t pairs[kLoadWeights / 2];
#pragma unroll
    for (int i = 0; i < kLoadWeights / 2; i++)
        pairs[i] = simt::bf16x2_from_f32(values[2 * i] * scale, values[2 * i + 1] * scale);
    simt::store16(args.dst + at, simt::U32x4{pairs[0], pairs[1], pairs[2], pairs[3]});
    simt::store16(args.dst + at + 8, simt::U32x4{pairs[4], pairs[5], pairs[6], pairs[7]});
}

void launch_dequantise(simt::Stream* stream, const Dequantise& args) {
    if (args.w.n == 0 || args.w.k == 0) return;
    const int64_t per_row = (args.w.k + kLoadWeights - 1) / kLoadWeights;
    const simt::Shape shape{{blocks_for(per_row * args.w.n)}, {kElementThreads}};
    if (args.w.format == WeightFormat::f32)
        simt::launch<simt::NoShared>(stream, shape, dequantise<WeightFormat::f32>, args);
    else
        simt::launch<simt::NoShared>(stream, shape, dequantise<WeightFormat::fp8_block>, args);
}

}  // namespace
}  // namespace baltoro::gpu
