#pragma once

#include "gpu_kernels/kernels.h"
#include "gpu_kernels/kv_b_weights.cuh"
#include "gpu_kernels/reduce.cuh"
#include "gpu_kernels/simt/simt.h"

namespace baltoro::gpu {
namespace {

constexpr int kProjectThreads = 256;
constexpr int kWarpValues = 4;    // rows of W_UV_h of one warp
constexpr int kProjectSteps = 4;  // of 128 columns: the latent's 512
constexpr int kProjectValues = kProjectThreads / 32 * kWarpValues;
constexpr int kProjectRows = 32;  // of one block

using ProjectWeights = float[kWarpValues][kProjectSteps][kFourWeights];

// This lane's 4 x 16 weights, from row `first_weight` of kv_b on; zero outside.
template <WeightFormat kFormat>
__device__ void load_projecting(const ProjectValues& args,
                                int first_weight,
                                int n_values,
                                ProjectWeights& weights) {
    const int lane_column = static_cast<int>(threadIdx.x % 32) * kFourWeights;
    RawFour<kFormat> raw[kWarpValues][kProjectSteps];
#pragma unroll
    for (int v = 0; v < kWarpValues; v++)
#pragma unroll
        for (int s = 0; s < kProjectSteps; s++) {
            const int column = s * kScaleBlock + lane_column;
            if (v < n_values && column < args.shapes.kv_lora_rank)
                raw[v][s] = load_four<kFormat>(args.kv_b, first_weight + v, column);
        }
#pragma unroll
    for (int v = 0; v < kWarpValues; v++)
#pragma unroll
        for (int s = 0; s < kProjectSteps; s++) {
            const int column = s * kScaleBlock + lane_column;
            float scale = 1.0f;
            if (v < n_values && column < args.shapes.kv_lora_rank)
                scale = scale_of<kFormat>(args.kv_b, first_weight + v, column);
            decode_four<kFormat>(raw[v][s], scale, weights[v][s]);
        }
}

// Grid: x takes 32 values of a head, y is the head, z takes 32 rows. Block: 8 warps, each of which
// keeps 4 rows of W_UV_h in registers (16 loads in flight) for all rows of the block. No barriers.
template <WeightFormat kFormat>
__global__ void __launch_bounds__(kProjectThreads, 2) project_values(ProjectValues args) {
    const int lane = static_cast<int>(threadIdx.x % 32);
    const int warp = static_cast<int>(threadIdx.x / 32);
    const int rank = args.shapes.kv_lora_rank;
    const int v_head_dim = args.shapes.v_head_dim;
    const int head = static_cast<int>(blockIdx.y);
    const int first_value = static_cast<int>(blockIdx.x) * kProjectValues + warp * kWarpValues;
    const int nope = args.shapes.qk_nope_head_dim;
    if (first_value >= v_head_dim) return;
    ProjectWeights weights;
    load_projecting<kFormat>(args, head * (nope + v_head_dim) + nope + first_value,
                             v_head_dim - first_value, weights);
    const int first_row = static_cast<int>(blockIdx.z) * kProjectRows;
    for (int row = first_row; row < first_row + kProjectRows && row < args.n_rows; row++) {
        const int64_t row_head = static_cast<int64_t>(row) * args.shapes.n_heads + head;
        const bf16_t* context = args.contexts + row_head * rank;
        float sums[kWarpValues] = {};
#pragma unroll
        for (int s = 0; s < kProjectSteps; s++) {
            const int column = s * kScaleBlock + lane * kFourWeights;
            if (column >= rank) break;
            const simt::U32x2 pairs = *reinterpret_cast<const simt::U32x2*>(context + column);
            const simt::F32x2 low = simt::f32x2_from_bf16x2(pairs.x);
            const simt::F32x2 high = simt::f32x2_from_bf16x2(pairs.y);
#pragma unroll
            for (int v = 0; v < kWarpValues; v++) {
                sums[v] = simt::multiply_add(weights[v][s][0], low.x, sums[v]);
                sums[v] = simt::multiply_add(weights[v][s][1], low.y, sums[v]);
                sums[v] = simt::multiply_add(weights[v][s][2], high.x, sums[v]);
                sums[v] = simt::multiply_add(weights[v][s][3], high.y, sums[v]);
            }
        }
        warp_sums<kWarpValues>(sums);
        const int value = first_value + first_held<kWarpValues>(lane);
        if (lane % (32 / kWarpValues) == 0 && value < v_head_dim)
            args.dst[row_head * v_head_dim + value] = simt::bf16_from_f32(sums[0]);
    }
}

void launch_project_values(simt::Stream* stream, const ProjectValues& args) {
    if (args.n_rows == 0) return;
    const int blocks = (args.shapes.v_head_dim + kProjectValues - 1) / kProjectValues;
    const simt::Shape shape{
        {static_cast<uint32_t>(blocks), static_cast<uint32_t>(args.shapes.n_heads),
         static_cast<uint32_t>((args.n_rows + kProjectRows - 1) / kProjectRows)},
        {kProjectThreads}};
    const bool is_fp8 = args.kv_b.format == WeightFormat::fp8_block;
    simt::launch<simt::NoShared>(
        stream, shape,
        is_fp8 ? project_values<WeightFormat::fp8_block> : project_values<WeightFormat::bf16>,
        args);
}

}  // namespace
}  // namespace baltoro::gpu
