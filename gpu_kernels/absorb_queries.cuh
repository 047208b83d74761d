#pragma once

#include "gpu_kernels/kernels.h"
#include "gpu_kernels/kv_b_weights.cuh"
#include "gpu_kernels/rope_pair.cuh"
#include "gpu_kernels/simt/simt.h"

namespace baltoro::gpu {
namespace {

constexpr int kAbsorbThreads = 256;
constexpr int kAbsorbWarps = kAbsorbThreads / 32;
constexpr int kAbsorbColumns = 32 * kFourWeights;  // of the latent, of one block
constexpr int kWarpKeys = 16;                      // of the nope dimensions, of one warp
constexpr int kAbsorbGroup = 8;                    // rows between two barriers
constexpr int kAbsorbRows = 32;                    // of one block

struct AbsorbShared {
    float q[kAbsorbGroup][kAbsorbWarps * kWarpKeys];
    float parts[kAbsorbWarps][kAbsorbGroup][kAbsorbColumns];
};

// This thread's 16 x 4 weights: keys of its warp, columns of its lane; zero outside.
template <WeightFormat kFormat>
__device__ void load_absorbing(const AbsorbQueries& args,
                               int first_weight,
                               int column,
                               float (&weights)[kWarpKeys][kFourWeights]) {
    const int first_key = static_cast<int>(threadIdx.x / 32) * kWarpKeys;
    RawFour<kFormat> raw[kWarpKeys];
#pragma unroll
    for (int i = 0; i < kWarpKeys; i++)
        if (first_key + i < args.shapes.qk_nope_head_dim && column < args.shapes.kv_lora_rank)
            raw[i] = load_four<kFormat>(args.kv_b, first_weight + first_key + i, column);
#pragma unroll
    for (int i = 0; i < kWarpKeys; i++) {
        float scale = 1.0f;
        if (first_key + i < args.shapes.qk_nope_head_dim && column < args.shapes.kv_lora_rank)
            scale = scale_of<kFormat>(args.kv_b, first_weight + first_key + i, column);
        decode_four<kFormat>(raw[i], scale, weights[i]);
    }
}

__device__ const float* query_of(const MlaShapes& shapes, const float* q, int row, int head) {
    return q + (static_cast<int64_t>(row) * shapes.n_heads + head) *
                   (shapes.qk_nope_head_dim + shapes.qk_rope_head_dim);
}

__device__ bf16_t* absorbed_query(const AbsorbQueries& args, int row, int head) {
    return args.dst + (static_cast<int64_t>(row) * args.shapes.n_heads + head) *
                          (args.shapes.kv_lora_rank + args.shapes.qk_rope_head_dim);
}

// The rotated part of `n_rows` rows.
__device__ void rotate_rows(const AbsorbQueries& args, int first_row, int n_rows, int head) {
    const int half = args.shapes.qk_rope_head_dim / 2;
    for (int i = static_cast<int>(threadIdx.x); i < n_rows * half; i += kAbsorbThreads) {
        const int row = first_row + i / half;
        const int pair = i % half;
        const float* x =
            query_of(args.shapes, args.q, row, head) + args.shapes.qk_nope_head_dim + 2 * pair;
        const float* rope = args.rope + (static_cast<int64_t>(row) * half + pair) * 2;
        bf16_t* dst = absorbed_query(args, row, head) + args.shapes.kv_lora_rank + 2 * pair;
        *reinterpret_cast<uint32_t*>(dst) = rotated_pair(x[0], x[1], rope);
    }
}

// Grid: x takes 128 columns of the latent, y is the head, z takes 32 rows. Block: 8 warps, each of
// which keeps 16 rows of W_UK_h in registers (16 loads in flight) for all rows of the block.
// Phases, per group of eight rows: queries, barrier, the warps' parts, barrier, their sums.
template <WeightFormat kFormat>
__global__ void __launch_bounds__(kAbsorbThreads, 2) absorb_queries(AbsorbQueries args) {
    AbsorbShared& shared = simt::shared<AbsorbShared>();
    const int thread = static_cast<int>(threadIdx.x);
    const int warp = thread / 32;
    const int nope = args.shapes.qk_nope_head_dim;
    const int head = static_cast<int>(blockIdx.y);
    const int first_column = static_cast<int>(blockIdx.x) * kAbsorbColumns;
    const int lane_column = thread % 32 * kFourWeights;
    const int first_row = static_cast<int>(blockIdx.z) * kAbsorbRows;
    const int rows_left = args.n_rows - first_row;
    const int n_rows = rows_left < kAbsorbRows ? rows_left : kAbsorbRows;
    float weights[kWarpKeys][kFourWeights];
    load_absorbing<kFormat>(args, head * (nope + args.shapes.v_head_dim),
                            first_column + lane_column, weights);
    if (blockIdx.x == 0) rotate_rows(args, first_row, n_rows, head);
    for (int begin = 0; begin < n_rows; begin += kAbsorbGroup) {
        const int n = n_rows - begin < kAbsorbGroup ? n_rows - begin : kAbsorbGroup;
        // Whoever still adds up the last group reads its parts, not its queries.
        for (int i = thread; i < n * kAbsorbWarps * kWarpKeys; i += kAbsorbThreads) {
            const int r = i / (kAbsorbWarps * kWarpKeys);
            const int key = i % (kAbsorbWarps * kWarpKeys);
            shared.q[r][key] =
                key < nope ? query_of(args.shapes, args.q, first_row + begin + r, head)[key] : 0.0f;
        }
        __syncthreads();
        for (int r = 0; r < n; r++) {
            float sums[kFourWeights] = {};
#pragma unroll
            for (int i = 0; i < kWarpKeys; i++) {
                const float q = shared.q[r][warp * kWarpKeys + i];
#pragma unroll
                for (int c = 0; c < kFourWeights; c++)
                    sums[c] = simt::multiply_add(weights[i][c], q, sums[c]);
            }
            simt::store16(&shared.parts[warp][r][lane_column],
                          simt::F32x4{sums[0], sums[1], sums[2], sums[3]});
        }
        __syncthreads();
        for (int i = thread; i < n * kAbsorbColumns / 2; i += kAbsorbThreads) {
            const int r = i / (kAbsorbColumns / 2);
            const int column = i % (kAbsorbColumns / 2) * 2;
            if (first_column + column >= args.shapes.kv_lora_rank) continue;
            float a = 0.0f;
            float b = 0.0f;
            for (int w = 0; w < kAbsorbWarps; w++) {
                a += shared.parts[w][r][column];
                b += shared.parts[w][r][column + 1];
            }
            bf16_t* dst = absorbed_query(args, first_row + begin + r, head) + first_column + column;
            *reinterpret_cast<uint32_t*>(dst) = simt::bf16x2_from_f32(a, b);
        }
    }
}

void launch_absorb_queries(simt::Stream* stream, const AbsorbQueries& args) {
    if (args.n_rows == 0) return;
    const int columns = (args.shapes.kv_lora_rank + kAbsorbColumns - 1) / kAbsorbColumns;
    const simt::Shape shape{
        {static_cast<uint32_t>(columns), static_cast<uint32_t>(args.shapes.n_heads),
         static_cast<uint32_t>((args.n_rows + kAbsorbRows - 1) / kAbsorbRows)},
        {kAbsorbThreads}};
    const bool is_fp8 = args.kv_b.format == WeightFormat::fp8_block;
    simt::launch<AbsorbShared>(
        stream, shape,
        is_fp8 ? absorb_queries<WeightFormat::fp8_block> : absorb_queries<WeightFormat::bf16>,
        args);
}

}  // namespace
}  // namespace baltoro::gpu
