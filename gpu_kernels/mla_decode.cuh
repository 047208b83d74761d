#pragma once

#include "gpu_kernels/kernels.h"
#include "gpu_kernels/mla_decode_tile.cuh"
#include "gpu_kernels/running_softmax.cuh"
#include "gpu_kernels/simt/simt.h"

namespace baltoro::gpu {
namespace {

// This warp's part of the scores, over its columns.
template <typename Tile>
__device__ void multiply_queries(const typename Tile::Queries& queries,
                                 const bf16_t (*latents)[Tile::kStride],
                                 float (*scores)[Tile::kScoreStride]) {
    const int lane = static_cast<int>(threadIdx.x % 32);
    const int first_column = static_cast<int>(threadIdx.x / 32) * Tile::kSteps * 16;
#pragma unroll
    for (int half = 0; half < kTileTokens / 16; half++) {
        const bf16_t* row =
            &latents[half * 16 + lane / 16 * 8 + lane % 8][first_column + lane / 8 % 2 * 8];
        float sums[Tile::kHeadTiles][2][4] = {};
#pragma unroll
        for (int step = 0; step < Tile::kSteps; step++) {
            uint32_t keys[4];
            simt::ldmatrix_x4(keys, row + step * 16);
#pragma unroll
            for (int m = 0; m < Tile::kHeadTiles; m++) {
                simt::mma_bf16_16x8x16(sums[m][0], queries[step][m], {keys[0], keys[1]});
                simt::mma_bf16_16x8x16(sums[m][1], queries[step][m], {keys[2], keys[3]});
            }
        }
#pragma unroll
        for (int m = 0; m < Tile::kHeadTiles; m++) {
#pragma unroll
            for (int n = 0; n < 2; n++) {
                const int head = m * 16 + lane / 4;
                const int token = half * 16 + n * 8 + lane % 4 * 2;
                const float(&s)[4] = sums[m][n];
                *reinterpret_cast<simt::F32x2*>(&scores[head][token]) = {s[0], s[1]};
                *reinterpret_cast<simt::F32x2*>(&scores[head + 8][token]) = {s[2], s[3]};
            }
        }
    }
}

template <typename Tile>
__device__ float head_max(float value) {
    for (int distance = 1; distance < Tile::kHeadLanes; distance *= 2)
        value = fmaxf(value, __shfl_xor_sync(0xffffffffu, value, distance));
    return value;
}

template <typename Tile>
__device__ float head_sum(float value) {
    for (int distance = 1; distance < Tile::kHeadLanes; distance *= 2)
        value += __shfl_xor_sync(0xffffffffu, value, distance);
    return value;
}

// Adds the warps' scores and turns them into weights relative to the maximum so far. A thread takes
// pairs of tokens laid out as in the products' fragments, which keeps banks apart. `scale` contains
// log2 e; n_valid tokens count.
template <typename Tile>
__device__ void weigh_tile(typename Tile::Shared& shared,
                           float scale,
                           int n_valid,
                           RunningSoftmax& softmax) {
    const int head = static_cast<int>(threadIdx.x) / Tile::kHeadLanes;
    const int sub = static_cast<int>(threadIdx.x) % Tile::kHeadLanes;
    const int first_token = sub / 4 * Tile::kPairs * 8 + sub % 4 * 2;
    float scores[2 * Tile::kPairs];
    float max = softmax.max;
#pragma unroll
    for (int p = 0; p < Tile::kPairs; p++) {
        const int token = first_token + p * 8;
        float a = 0.0f;
        float b = 0.0f;
#pragma unroll
        for (int w = 0; w < kDecodeWarps; w++) {
            const simt::F32x2 part =
                *reinterpret_cast<const simt::F32x2*>(&shared.scores[w][head][token]);
            a += part.x;
            b += part.y;
        }
        scores[2 * p] = token < n_valid ? a * scale : -INFINITY;
        scores[2 * p + 1] = token + 1 < n_valid ? b * scale : -INFINITY;
        max = fmaxf(max, fmaxf(scores[2 * p], scores[2 * p + 1]));
    }
    max = head_max<Tile>(max);
    const float factor = exp2f(softmax.max - max);
    softmax.max = max;
    softmax.sum *= factor;
#pragma unroll
    for (int p = 0; p < Tile::kPairs; p++) {
        const float a = exp2f(scores[2 * p] - max);
        const float b = exp2f(scores[2 * p + 1] - max);
        softmax.sum += a + b;
        shared.weights[head][first_token / 2 + p * 4] = simt::bf16x2_from_f32(a, b);
    }
    if (sub == 0) shared.factors[head] = factor;
}

// sums = sums factor + weights latents, for this warp's columns of the values.
template <typename Tile>
__device__ void add_tile(const typename Tile::Shared& shared,
                         const bf16_t (*latents)[Tile::kStride],
                         typename Tile::Sums& sums) {
    const int lane = static_cast<int>(threadIdx.x % 32);
    const int first_column = static_cast<int>(threadIdx.x / 32) * Tile::kColumns;
#pragma unroll
    for (int m = 0; m < Tile::kHeadTiles; m++) {
        const float low = shared.factors[m * 16 + lane / 4];
        const float high = shared.factors[m * 16 + lane / 4 + 8];
        // Maxima seldom change after the first tiles.
        if (__ballot_sync(0xffffffffu, low != 1.0f || high != 1.0f) == 0) continue;
#pragma unroll
        for (int n = 0; n < Tile::kColumns / 8; n++) {
            sums[m][n][0] *= low;
            sums[m][n][1] *= low;
            sums[m][n][2] *= high;
            sums[m][n][3] *= high;
        }
    }
#pragma unroll
    for (int k = 0; k < kTileTokens; k += 16) {
        uint32_t weights[Tile::kHeadTiles][4];
#pragma unroll
        for (int m = 0; m < Tile::kHeadTiles; m++)
            simt::ldmatrix_x4(weights[m],
                              &shared.weights[m * 16 + lane % 16][k / 2 + lane / 16 * 4]);
#pragma unroll
        for (int n = 0; n < Tile::kColumns / 8; n += 2) {
            uint32_t values[4];
            simt::ldmatrix_x4_transposed(
                values, &latents[k + lane % 16][first_column + n * 8 + lane / 16 * 8]);
#pragma unroll
            for (int m = 0; m < Tile::kHeadTiles; m++) {
                simt::mma_bf16_16x8x16(sums[m][n], weights[m], {values[0], values[1]});
                simt::mma_bf16_16x8x16(sums[m][n + 1], weights[m], {values[2], values[3]});
            }
        }
    }
}

template <typename Tile>
__device__ void store_part(const MlaDecode& args,
                           const DecodeWork& work,
                           const typename Tile::Sums& sums,
                           const RunningSoftmax& softmax) {
    const int lane = static_cast<int>(threadIdx.x % 32);
    const int rank = args.shapes.kv_lora_rank;
    const int n_heads = args.shapes.n_heads;
    const int64_t part = (static_cast<int64_t>(work.row) * args.n_splits + work.split) * n_heads;
#pragma unroll
    for (int m = 0; m < Tile::kHeadTiles; m++) {
#pragma unroll
        for (int n = 0; n < Tile::kColumns / 8; n++) {
            const int head = work.first_head + m * 16 + lane / 4;
            const int column =
                static_cast<int>(threadIdx.x / 32) * Tile::kColumns + n * 8 + lane % 4 * 2;
            if (column >= rank) continue;
            float* dst = args.partials + (part + head) * rank + column;
            const float(&s)[4] = sums[m][n];
            if (head < n_heads) *reinterpret_cast<simt::F32x2*>(dst) = {s[0], s[1]};
            if (head + 8 < n_heads) *reinterpret_cast<simt::F32x2*>(dst + 8 * rank) = {s[2], s[3]};
        }
    }
    const float sum = head_sum<Tile>(softmax.sum);
    const int head = work.first_head + static_cast<int>(threadIdx.x) / Tile::kHeadLanes;
    if (static_cast<int>(threadIdx.x) % Tile::kHeadLanes != 0 || head >= n_heads) return;
    *reinterpret_cast<simt::F32x2*>(args.extrema + (part + head) * 2) = {softmax.max, sum};
}

// Grid: x takes kHeads heads, y is the part, z the row; the blocks that read the same latents are
// neighbours. Block: 4 warps. Each holds all heads' queries for a quarter of the columns and all
// heads' sums for a quarter of the values in registers, so that every latent is read from shared
// memory twice in all, and each fragment of it serves kHeads heads. 64 heads make 120 operations
// per byte of cache: the tensor cores are the expected bound, with two blocks on an SM that has
// room for them. Phases per tile of 32 tokens: wait for its copies, barrier, start the next tile's,
// scores, barrier, weights, barrier, sums.
template <typename Tile>
__global__ void __launch_bounds__(kDecodeThreads, 2) mla_decode(MlaDecode args) {
    using Shared = typename Tile::Shared;
    Shared& shared = simt::shared<Shared>();
    const DecodeWork work = decode_work<Tile>(args);
    if (work.first >= work.end) return;
    const float scale = args.scale * kLog2E;
    copy_tile<Tile>(args, work, work.first, shared.latents[0]);
    simt::async_commit();
    typename Tile::Queries queries;
    load_queries<Tile>(args, work, queries);
    typename Tile::Sums sums = {};
    RunningSoftmax softmax;
    int buffer = 0;
    for (int first = work.first; first < work.end; first += kTileTokens) {
        simt::async_wait<0>();
        __syncthreads();
        if (first + kTileTokens < work.end)
            copy_tile<Tile>(args, work, first + kTileTokens, shared.latents[buffer ^ 1]);
        simt::async_commit();
        multiply_queries<Tile>(queries, shared.latents[buffer], shared.scores[threadIdx.x / 32]);
        __syncthreads();
        weigh_tile<Tile>(shared, scale, work.end - first, softmax);
        __syncthreads();
        add_tile<Tile>(shared, shared.latents[buffer], sums);
        buffer ^= 1;
    }
    store_part<Tile>(args, work, sums, softmax);
}

template <typename Tile>
void launch_decode_of(simt::Stream* stream, const MlaDecode& args) {
    const simt::Shape shape{
        {static_cast<uint32_t>((args.shapes.n_heads + Tile::kHeads - 1) / Tile::kHeads),
         static_cast<uint32_t>(args.n_splits), static_cast<uint32_t>(args.n_rows)},
        {kDecodeThreads}};
    simt::launch<typename Tile::Shared>(stream, shape, mla_decode<Tile>, args);
}

// The instance depends on the shapes alone.
void launch_mla_decode(simt::Stream* stream, const MlaDecode& args) {
    if (args.n_rows == 0) return;
    const MlaShapes& shapes = args.shapes;
    const bool is_small =
        shapes.kv_lora_rank <= 128 && shapes.kv_lora_rank + shapes.qk_rope_head_dim <= 192;
    if (is_small) return launch_decode_of<DecodeTile<128, 192, 16>>(stream, args);
    if (shapes.n_heads <= 16) return launch_decode_of<DecodeTile<512, 576, 16>>(stream, args);
    launch_decode_of<DecodeTile<512, 576, 32>>(stream, args);
}

}  // namespace
}  // namespace baltoro::gpu
