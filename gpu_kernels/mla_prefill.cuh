#pragma once

#include "gpu_kernels/kernels.h"
#include "gpu_kernels/mla_prefill_tile.cuh"
#include "gpu_kernels/running_softmax.cuh"
#include "gpu_kernels/simt/simt.h"

namespace baltoro::gpu {
namespace {

template <typename Tile>
__device__ void multiply_keys(const typename Tile::Queries& queries,
                              const bf16_t (*tokens)[Tile::kStride],
                              PrefillScores& scores) {
    const int lane = static_cast<int>(threadIdx.x % 32);
    const bf16_t* row = &tokens[lane / 16 * 8 + lane % 8][lane / 8 % 2 * 8];
#pragma unroll
    for (int step = 0; step < Tile::kQk / 16; step++) {
#pragma unroll
        for (int n = 0; n < kPrefillKeys / 8; n += 2) {
            uint32_t keys[4];
            simt::ldmatrix_x4(keys, row + n * 8 * Tile::kStride + step * 16);
            simt::mma_bf16_16x8x16(scores[n], queries[step], {keys[0], keys[1]});
            simt::mma_bf16_16x8x16(scores[n + 1], queries[step], {keys[2], keys[3]});
        }
    }
}

// Takes out the keys behind each query's own and those past the slab. `first` is the tile's first
// token of the slab.
__device__ void mask_scores(const MlaPrefill& args,
                            const PrefillWork& work,
                            int first,
                            PrefillScores& scores) {
    const int lane = static_cast<int>(threadIdx.x % 32);
    const int own = args.first_position + work.first_query + lane / 4 - args.first_token;
#pragma unroll
    for (int n = 0; n < kPrefillKeys / 8; n++) {
#pragma unroll
        for (int i = 0; i < 4; i++) {
            const int token = first + n * 8 + lane % 4 * 2 + i % 2;
            if (token >= args.n_tokens || token > own + i / 2 * 8) scores[n][i] = -INFINITY;
        }
    }
}

// Turns the scores of half a thread's values (query g for 0, g + 8 for 1) into weights relative to
// the maximum so far; returns the factor of the sums so far. `scale` contains log2 e.
__device__ float weigh_query(PrefillScores& scores,
                             int half,
                             float scale,
                             RunningSoftmax& softmax) {
    float max = -INFINITY;
#pragma unroll
    for (int n = 0; n < kPrefillKeys / 8; n++)
        max = fmaxf(max, fmaxf(scores[n][2 * half], scores[n][2 * half + 1]));
    max = fmaxf(max, __shfl_xor_sync(0xffffffffu, max, 1));
    max = fmaxf(max, __shfl_xor_sync(0xffffffffu, max, 2));
    max = fmaxf(softmax.max, max * scale);
    // A query that has seen no key yet keeps weights of zero.
    const float reference = max == -INFINITY ? 0.0f : max;
    const float factor = exp2f(softmax.max - reference);
    softmax.max = max;
    softmax.sum *= factor;
#pragma unroll
    for (int n = 0; n < kPrefillKeys / 8; n++) {
#pragma unroll
        for (int i = 2 * half; i < 2 * half + 2; i++) {
            scores[n][i] = exp2f(simt::multiply_add(scores[n][i], scale, -reference));
            softmax.sum += scores[n][i];
        }
    }
    return factor;
}

// sums += weights values. The weights' fragments are the scores' own registers.
template <typename Tile>
__device__ void add_values(const PrefillScores& weights,
                           const bf16_t (*tokens)[Tile::kStride],
                           typename Tile::Sums& sums) {
    const int lane = static_cast<int>(threadIdx.x % 32);
    const bf16_t* row = &tokens[lane % 16][Tile::kQk + lane / 16 * 8];
#pragma unroll
    for (int k = 0; k < kPrefillKeys / 16; k++) {
        const float(&low)[4] = weights[2 * k];
        const float(&high)[4] = weights[2 * k + 1];
        const uint32_t a[4] = {
            simt::bf16x2_from_f32(low[0], low[1]), simt::bf16x2_from_f32(low[2], low[3]),
            simt::bf16x2_from_f32(high[0], high[1]), simt::bf16x2_from_f32(high[2], high[3])};
#pragma unroll
        for (int n = 0; n < Tile::kV / 8; n += 2) {
            uint32_t values[4];
            simt::ldmatrix_x4_transposed(values, row + k * 16 * Tile::kStride + n * 8);
            simt::mma_bf16_16x8x16(sums[n], a, {values[0], values[1]});
            simt::mma_bf16_16x8x16(sums[n + 1], a, {values[2], values[3]});
        }
    }
}

// One tile of one warp. `first` is the tile's first token of the slab.
template <typename Tile>
__device__ void attend_tile(const MlaPrefill& args,
                            const PrefillWork& work,
                            int first,
                            const bf16_t (*tokens)[Tile::kStride],
                            const typename Tile::Queries& queries,
                            RunningSoftmax (&softmax)[2],
                            typename Tile::Sums& sums) {
    PrefillScores scores = {};
    multiply_keys<Tile>(queries, tokens, scores);
    const int last = first + kPrefillKeys - 1;
    const bool is_whole =
        last < args.n_tokens && args.first_token + last <= args.first_position + work.first_query;
    if (!is_whole) mask_scores(args, work, first, scores);
    const float scale = args.scale * kLog2E;
    const float low = weigh_query(scores, 0, scale, softmax[0]);
    const float high = weigh_query(scores, 1, scale, softmax[1]);
    // Maxima seldom change after the first tiles.
    if (__ballot_sync(0xffffffffu, low != 1.0f || high != 1.0f) != 0) {
#pragma unroll
        for (int n = 0; n < Tile::kV / 8; n++) {
            sums[n][0] *= low;
            sums[n][1] *= low;
            sums[n][2] *= high;
            sums[n][3] *= high;
        }
    }
    add_values<Tile>(scores, tokens, sums);
}

// Where this thread's query g (half 0) or g + 8 lies among the rows' heads; -1 for none.
__device__ int64_t query_index(const MlaPrefill& args, const PrefillWork& work, int half) {
    const int64_t row = work.first_query + static_cast<int>(threadIdx.x % 32) / 4 + half * 8;
    return row < args.n_rows ? row * args.shapes.n_heads + work.head : -1;
}

template <typename Tile>
__device__ void load_state(const MlaPrefill& args,
                           const PrefillWork& work,
                           RunningSoftmax (&softmax)[2],
                           typename Tile::Sums& sums) {
    const int t = static_cast<int>(threadIdx.x % 4);
#pragma unroll
    for (int half = 0; half < 2; half++) {
        const int64_t at = query_index(args, work, half);
        if (at < 0) continue;
        softmax[half].max = args.extrema[at * 2];
        softmax[half].sum = t == 0 ? args.extrema[at * 2 + 1] : 0.0f;
        const float* src = args.sums + at * args.shapes.v_head_dim;
#pragma unroll
        for (int n = 0; n < Tile::kV / 8; n++) {
            if (n * 8 >= args.shapes.v_head_dim) break;
            const simt::F32x2 two = *reinterpret_cast<const simt::F32x2*>(src + n * 8 + t * 2);
            sums[n][2 * half] = two.x;
            sums[n][2 * half + 1] = two.y;
        }
    }
}

// The state for the next slab, or the result of the last.
template <typename Tile>
__device__ void store_state(const MlaPrefill& args,
                            const PrefillWork& work,
                            const RunningSoftmax (&softmax)[2],
                            const typename Tile::Sums& sums) {
    const int t = static_cast<int>(threadIdx.x % 4);
    const int v_head_dim = args.shapes.v_head_dim;
#pragma unroll
    for (int half = 0; half < 2; half++) {
        float sum = softmax[half].sum;
        sum += __shfl_xor_sync(0xffffffffu, sum, 1);
        sum += __shfl_xor_sync(0xffffffffu, sum, 2);
        const int64_t at = query_index(args, work, half);
        if (at < 0) continue;
        if (!args.is_last && t == 0)
            *reinterpret_cast<simt::F32x2*>(args.extrema + at * 2) = {softmax[half].max, sum};
        const float inverse = 1.0f / sum;
#pragma unroll
        for (int n = 0; n < Tile::kV / 8; n++) {
            if (n * 8 >= v_head_dim) break;
            const int64_t column = at * v_head_dim + n * 8 + t * 2;
            const float a = sums[n][2 * half];
            const float b = sums[n][2 * half + 1];
            if (args.is_last)
                *reinterpret_cast<uint32_t*>(args.dst + column) =
                    simt::bf16x2_from_f32(a * inverse, b * inverse);
            else
                *reinterpret_cast<simt::F32x2*>(args.sums + column) = {a, b};
        }
    }
}

// Grid: x takes 128 queries, the last first because they see most, y is the head. Block: 8 warps of
// 16 queries each; queries, scores and sums stay in registers. Phases per tile of 64 keys: wait for
// its copies, barrier, start the next tile's, the tile.
template <typename Tile>
__global__ void __launch_bounds__(kPrefillThreads, 1) mla_prefill(MlaPrefill args) {
    using Shared = typename Tile::Shared;
    Shared& shared = simt::shared<Shared>();
    PrefillWork work;
    work.head = static_cast<int>(blockIdx.y);
    const int block_query = static_cast<int>(gridDim.x - 1 - blockIdx.x) * kPrefillQueries;
    work.first_query = block_query + static_cast<int>(threadIdx.x / 32) * kWarpQueries;
    const int end_query =
        block_query + kPrefillQueries < args.n_rows ? block_query + kPrefillQueries : args.n_rows;
    const int n_visible = args.first_position + end_query - args.first_token;
    const int n_keys = n_visible < args.n_tokens ? n_visible : args.n_tokens;
    work.n_tiles = n_keys > 0 ? (n_keys + kPrefillKeys - 1) / kPrefillKeys : 0;
    // The last position of the warp's, among the slab's tokens.
    const int last_visible =
        args.first_position + work.first_query + kWarpQueries - 1 - args.first_token;

    if (work.n_tiles > 0) copy_keys<Tile>(args, work.head, 0, shared.tokens[0]);
    simt::async_commit();
    typename Tile::Queries queries;
    load_rotated_queries<Tile>(args, work, queries);
    RunningSoftmax softmax[2];
    typename Tile::Sums sums = {};
    if (!args.is_first) load_state<Tile>(args, work, softmax, sums);
    for (int tile = 0; tile < work.n_tiles; tile++) {
        simt::async_wait<0>();
        __syncthreads();
        const int first = tile * kPrefillKeys;
        if (tile + 1 < work.n_tiles)
            copy_keys<Tile>(args, work.head, first + kPrefillKeys, shared.tokens[(tile + 1) % 2]);
        simt::async_commit();
        if (work.first_query < args.n_rows && first <= last_visible)
            attend_tile<Tile>(args, work, first, shared.tokens[tile % 2], queries, softmax, sums);
    }
    store_state<Tile>(args, work, softmax, sums);
}

template <typename Tile>
void launch_prefill_of(simt::Stream* stream, const MlaPrefill& args) {
    const int blocks = (args.n_rows + kPrefillQueries - 1) / kPrefillQueries;
    simt::launch<typename Tile::Shared>(
        stream,
        {{static_cast<uint32_t>(blocks), static_cast<uint32_t>(args.shapes.n_heads)},
         {kPrefillThreads}},
        mla_prefill<Tile>, args);
}

void launch_mla_prefill(simt::Stream* stream, const MlaPrefill& args) {
    if (args.n_rows == 0) return;
    const MlaShapes& shapes = args.shapes;
    const bool is_small =
        shapes.qk_nope_head_dim + shapes.qk_rope_head_dim <= 80 && shapes.v_head_dim <= 48;
    if (is_small) return launch_prefill_of<PrefillTile<80, 48>>(stream, args);
    launch_prefill_of<PrefillTile<192, 128>>(stream, args);
}

}  // namespace
}  // namespace baltoro::gpu
