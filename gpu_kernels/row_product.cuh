#pragma once

#include "gpu_kernels/elementwise.cuh"
#include "gpu_kernels/kernels.h"
#include "gpu_kernels/reduce.cuh"
#include "gpu_kernels/simt/simt.h"
#include "gpu_kernels/weight_loads.cuh"

namespace baltoro::gpu {
namespace {

constexpr int kRowThreads = 128;
constexpr int kRowWarps = kRowThreads / 32;
constexpr int kBlockWeights = 4;  // weight rows of one block

// The sums over a block of kBlockWeights x kRows values per thread.
template <int kRows>
struct RowProductShared {
    float warp_sums[kRowWarps][kBlockWeights * kRows];
};

// One of a block's weight rows; null data: no row. `scales` are its row of scale blocks, or null.
struct WeightRow {
    const char* data;
    const float* scales;
};

__device__ WeightRow weight_row(const Weight& w, int row, int element_bytes) {
    if (row >= w.n) return {nullptr, nullptr};
    const int blocks = (w.k + kScaleBlock - 1) / kScaleBlock;
    return {
        static_cast<const char*>(w.data) + static_cast<int64_t>(row) * w.k * element_bytes,
        w.scale == nullptr ? nullptr : w.scale + static_cast<int64_t>(row / kScaleBlock) * blocks};
}

__device__ void load_x(const bf16_t* x, float (&dst)[kLoadWeights]) {
    unpack_bf16x8(simt::load16<simt::U32x4>(x), dst);
    unpack_bf16x8(simt::load16<simt::U32x4>(x + 8), dst + 8);
}

__device__ void load_x(const float* x, float (&dst)[kLoadWeights]) {
#pragma unroll
    for (int i = 0; i < kLoadWeights; i += 4) {
        const simt::F32x4 four = simt::load16<simt::F32x4>(x + i);
        dst[i] = four.x;
        dst[i + 1] = four.y;
        dst[i + 2] = four.z;
        dst[i + 3] = four.w;
    }
}

// sums[s * kRows + r] = this thread's part of row r of x times slot s's weights.
template <WeightFormat kFormat, int kRows, typename X>
__device__ void dot_rows(const WeightRow (&slots)[kBlockWeights],
                         const X* x,
                         int k,
                         int n_rows,
                         float (&sums)[kBlockWeights * kRows]) {
#pragma unroll
    for (int i = 0; i < kBlockWeights * kRows; i++)
        sums[i] = 0.0f;
    for (int j = static_cast<int>(threadIdx.x) * kLoadWeights; j < k;
         j += kRowThreads * kLoadWeights) {
        RawWeights<kFormat> raw[kBlockWeights] = {};
        float scales[kBlockWeights];
#pragma unroll
        for (int s = 0; s < kBlockWeights; s++) {
            if (slots[s].data == nullptr) continue;
            raw[s] = load_weights<kFormat>(slots[s].data + j * kWeightBytes<kFormat>);
        }
#pragma unroll
        for (int s = 0; s < kBlockWeights; s++)
            scales[s] = slots[s].scales == nullptr ? 1.0f : slots[s].scales[j / kScaleBlock];
        float weights[kBlockWeights][kLoadWeights];
#pragma unroll
        for (int s = 0; s < kBlockWeights; s++)
            decode_weights<kFormat>(raw[s], weights[s]);
#pragma unroll
        for (int r = 0; r < kRows; r++) {
            if (r >= n_rows) break;
            float values[kLoadWeights];
            load_x(x + static_cast<int64_t>(r) * k + j, values);
#pragma unroll
            for (int s = 0; s < kBlockWeights; s++) {
                float dot = 0.0f;
#pragma unroll
                for (int i = 0; i < kLoadWeights; i++)
                    dot = simt::multiply_add(weights[s][i], values[i], dot);
                sums[s * kRows + r] = simt::multiply_add(dot, scales[s], sums[s * kRows + r]);
            }
        }
    }
}

// The block's sum of slot s and row r. Contains a barrier; threads below kBlockWeights * kRows get
// the sum of their own number, s * kRows + r.
template <int kRows>
__device__ float block_dot(float (&sums)[kBlockWeights * kRows], RowProductShared<kRows>& shared) {
    constexpr int kValues = kBlockWeights * kRows;
    constexpr int kHeld = kValues > 32 ? kValues / 32 : 1;
    constexpr int kHolders = kValues < 32 ? 32 / kValues : 1;  // neighbours with the same sum
    warp_sums<kValues>(sums);
    const int lane = static_cast<int>(threadIdx.x % 32);
    const int first = first_held<kValues>(lane);
#pragma unroll
    for (int i = 0; i < kHeld; i++)
        if (lane % kHolders == 0) shared.warp_sums[threadIdx.x / 32][first + i] = sums[i];
    __syncthreads();
    float total = 0.0f;
    if (threadIdx.x < kValues)
        for (int w = 0; w < kRowWarps; w++)
            total += shared.warp_sums[w][threadIdx.x];
    return total;
}

// Grid: x takes kBlockWeights weight rows, y takes kRows rows of x. Block: 128 threads, which share
// k between them, so that narrow matrices fill the GPU too: each has four loads of 16 bytes in
// flight. Phases: products, barrier, sums.
template <WeightFormat kFormat, int kRows, typename X>
__global__ void row_product(RowProduct args) {
    RowProductShared<kRows>& shared = simt::shared<RowProductShared<kRows>>();
    const int first_weight = static_cast<int>(blockIdx.x) * kBlockWeights;
    const int first_row = static_cast<int>(blockIdx.y) * kRows;
    const int n_rows = args.n_rows - first_row;
    WeightRow slots[kBlockWeights];
#pragma unroll
    for (int s = 0; s < kBlockWeights; s++)
        slots[s] = weight_row(args.w, first_weight + s, kWeightBytes<kFormat>);
    const X* x = nullptr;
    if constexpr (sizeof(X) == 4)
        x = args.x_f32;
    else
        x = args.x;
    float sums[kBlockWeights * kRows];
    dot_rows<kFormat, kRows>(slots, x + static_cast<int64_t>(first_row) * args.w.k, args.w.k,
                             n_rows, sums);
    const float sum = block_dot<kRows>(sums, shared);
    const int weight = first_weight + static_cast<int>(threadIdx.x) / kRows;
    const int row = static_cast<int>(threadIdx.x) % kRows;
    if (threadIdx.x >= kBlockWeights * kRows || weight >= args.w.n || row >= n_rows) return;
    float* dst = args.dst + static_cast<int64_t>(first_row + row) * args.w.n + weight;
    *dst = args.accumulate ? *dst + sum : sum;
}

// The slots of a block that takes two rows of gate and the same two of up.
__device__ void gated_slots(const Weight& gate,
                            const Weight& up,
                            int first,
                            int element_bytes,
                            WeightRow (&slots)[kBlockWeights]) {
#pragma unroll
    for (int s = 0; s < 2; s++) {
        slots[s] = weight_row(gate, first + s, element_bytes);
        slots[s + 2] = weight_row(up, first + s, element_bytes);
    }
}

// silu(gate x) * (up x) of a block with gated_slots(), for the threads below 2 * kRows: that of
// gate's row and x's row of their number, s * kRows + r. Contains two barriers.
template <int kRows>
__device__ float block_gated(float (&sums)[kBlockWeights * kRows],
                             RowProductShared<kRows>& shared) {
    const float sum = block_dot<kRows>(sums, shared);
    // Nobody else reads this thread's place.
    if (threadIdx.x < kBlockWeights * kRows) shared.warp_sums[0][threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.x >= 2 * kRows) return 0.0f;
    return silu(shared.warp_sums[0][threadIdx.x]) * shared.warp_sums[0][threadIdx.x + 2 * kRows];
}

// As row_product, with gated_slots().
template <WeightFormat kFormat, int kRows>
__global__ void gated_row_product(GatedRowProduct args) {
    RowProductShared<kRows>& shared = simt::shared<RowProductShared<kRows>>();
    const int first_weight = static_cast<int>(blockIdx.x) * 2;
    const int first_row = static_cast<int>(blockIdx.y) * kRows;
    const int n_rows = args.n_rows - first_row;
    WeightRow slots[kBlockWeights];
    gated_slots(args.gate, args.up, first_weight, kWeightBytes<kFormat>, slots);
    float sums[kBlockWeights * kRows];
    dot_rows<kFormat, kRows>(slots, args.x + static_cast<int64_t>(first_row) * args.gate.k,
                             args.gate.k, n_rows, sums);
    const float gated = block_gated<kRows>(sums, shared);
    const int weight = first_weight + static_cast<int>(threadIdx.x) / kRows;
    const int row = static_cast<int>(threadIdx.x) % kRows;
    if (threadIdx.x >= 2 * kRows || weight >= args.gate.n || row >= n_rows) return;
    args.dst[static_cast<int64_t>(first_row + row) * args.gate.n + weight] =
        simt::bf16_from_f32(gated);
}

uint32_t block_count(int n, int per_block) {
    return static_cast<uint32_t>((n + per_block - 1) / per_block);
}

template <WeightFormat kFormat, int kRows, typename X>
void launch_rows_of(simt::Stream* stream, const RowProduct& args) {
    simt::launch<RowProductShared<kRows>>(
        stream,
        {{block_count(args.w.n, kBlockWeights), block_count(args.n_rows, kRows)}, {kRowThreads}},
        row_product<kFormat, kRows, X>, args);
}

template <WeightFormat kFormat, int kRows>
void launch_rows_of(simt::Stream* stream, const GatedRowProduct& args) {
    simt::launch<RowProductShared<kRows>>(
        stream, {{block_count(args.gate.n, 2), block_count(args.n_rows, kRows)}, {kRowThreads}},
        gated_row_product<kFormat, kRows>, args);
}

// The smallest instance that takes all rows, at most kMaxRows in one block.
template <WeightFormat kFormat, typename... X, typename Args>
void launch_by_rows(simt::Stream* stream, const Args& args) {
    if (args.n_rows <= 1) return launch_rows_of<kFormat, 1, X...>(stream, args);
    if (args.n_rows <= 2) return launch_rows_of<kFormat, 2, X...>(stream, args);
    if (args.n_rows <= 4) return launch_rows_of<kFormat, 4, X...>(stream, args);
    if (args.n_rows <= 8) return launch_rows_of<kFormat, 8, X...>(stream, args);
    launch_rows_of<kFormat, kMaxRows, X...>(stream, args);
}

void launch_row_product(simt::Stream* stream, const RowProduct& args) {
    if (args.n_rows == 0 || args.w.n == 0) return;
    const bool is_f32 = args.x_f32 != nullptr;
    switch (args.w.format) {
        case WeightFormat::bf16:
            return is_f32 ? launch_by_rows<WeightFormat::bf16, float>(stream, args)
                          : launch_by_rows<WeightFormat::bf16, bf16_t>(stream, args);
        case WeightFormat::fp8_block:
            return is_f32 ? launch_by_rows<WeightFormat::fp8_block, float>(stream, args)
                          : launch_by_rows<WeightFormat::fp8_block, bf16_t>(stream, args);
        case WeightFormat::f32:
            return is_f32 ? launch_by_rows<WeightFormat::f32, float>(stream, args)
                          : launch_by_rows<WeightFormat::f32, bf16_t>(stream, args);
    }
}

void launch_gated_row_product(simt::Stream* stream, const GatedRowProduct& args) {
    if (args.n_rows == 0 || args.gate.n == 0) return;
    switch (args.gate.format) {
        case WeightFormat::bf16:
            return launch_by_rows<WeightFormat::bf16>(stream, args);
        case WeightFormat::fp8_block:
            return launch_by_rows<WeightFormat::fp8_block>(stream, args);
        case WeightFormat::f32:
            return launch_by_rows<WeightFormat::f32>(stream, args);
    }
}

}  // namespace
}  // namespace baltoro::gpu
