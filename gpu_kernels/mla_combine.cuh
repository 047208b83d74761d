#pragma once

#include "gpu_kernels/kernels.h"
#include "gpu_kernels/mla_decode_tile.cuh"
#include "gpu_kernels/reduce.cuh"
#include "gpu_kernels/simt/simt.h"

namespace baltoro::gpu {
namespace {

constexpr int kCombineWarps = 8;
constexpr int kCombineColumns = 128;

struct MlaCombineShared {
    float sums[kCombineWarps][kCombineColumns];
    float totals[kCombineWarps];
};

// Grid: x takes 128 columns of a head's context, y is the head, z the row. Block: 8 warps; warp w
// adds up parts w, w + 8, ... for all columns, four to a lane, with several loads in flight.
// Phases: parts, barrier, the warps' sums.
__global__ void mla_combine(MlaCombine args) {
    MlaCombineShared& shared = simt::shared<MlaCombineShared>();
    const int lane = static_cast<int>(threadIdx.x % 32);
    const int warp = static_cast<int>(threadIdx.x / 32);
    const int rank = args.shapes.kv_lora_rank;
    const int n_heads = args.shapes.n_heads;
    const int64_t row = blockIdx.z;
    const int head = static_cast<int>(blockIdx.y);
    const int first_column = static_cast<int>(blockIdx.x) * kCombineColumns;
    const int n_tokens = args.rows[row].n_tokens;
    const int tokens = split_tokens(n_tokens);
    const int n_parts = (n_tokens + tokens - 1) / tokens;
    const int64_t first_part = row * args.n_splits * n_heads + head;
    const float* extrema = args.extrema + first_part * 2;
    float max = -INFINITY;
    for (int s = lane; s < n_parts; s += 32)
        max = fmaxf(max, extrema[static_cast<int64_t>(s) * n_heads * 2]);
    max = warp_max(max);

    const int column = first_column + lane * 4;
    const bool is_inside = column < rank;
    const float* partials = args.partials + first_part * rank + (is_inside ? column : 0);
    simt::F32x4 sum{0.0f, 0.0f, 0.0f, 0.0f};
    float total = 0.0f;
#pragma unroll 8
    for (int s = warp; s < n_parts; s += kCombineWarps) {
        const int64_t part = static_cast<int64_t>(s) * n_heads;
        const simt::F32x4 values = simt::load16<simt::F32x4>(partials + part * rank);
        const float weight = exp2f(extrema[part * 2] - max);
        total += weight * extrema[part * 2 + 1];
        sum.x += weight * values.x;
        sum.y += weight * values.y;
        sum.z += weight * values.z;
        sum.w += weight * values.w;
    }
    simt::store16(&shared.sums[warp][lane * 4], sum);
    if (lane == 0) shared.totals[warp] = total;
    __syncthreads();
    const int own = static_cast<int>(threadIdx.x);
    if (own >= kCombineColumns || first_column + own >= rank) return;
    float numerator = 0.0f;
    float denominator = 0.0f;
    for (int w = 0; w < kCombineWarps; w++) {
        numerator += shared.sums[w][own];
        denominator += shared.totals[w];
    }
    args.dst[(row * n_heads + head) * rank + first_column + own] =
        simt::bf16_from_f32(numerator / denominator);
}

void launch_mla_combine(simt::Stream* stream, const MlaCombine& args) {
    if (args.n_rows == 0) return;
    const int columns = (args.shapes.kv_lora_rank + kCombineColumns - 1) / kCombineColumns;
    simt::launch<MlaCombineShared>(
        stream,
        {{static_cast<uint32_t>(columns), static_cast<uint32_t>(args.shapes.n_heads),
          static_cast<uint32_t>(args.n_rows)},
         {kCombineWarps * 32}},
        mla_combine, args);
}

}  // namespace
}  // namespace baltoro::gpu
