#pragma once

#include "gpu_kernels/kernels.h"
#include "gpu_kernels/simt/simt.h"

namespace baltoro::gpu {
namespace {

constexpr int kPanelThreads = 256;
constexpr int kPanelK = 32;  // of one stage
constexpr int kPanelStages = 4;
constexpr int kPanelWeights = 128;  // weight rows of a block
constexpr int kPanelChunk = 8;      // bf16 of one 16-byte copy

// Rows of 64 bytes. Chunk c of row r lies at place c ^ (r / 2 % 4): the eight rows that ldmatrix
// reads at once then lie in eight different groups of banks.
struct PanelRow {
    alignas(16) bf16_t values[kPanelK];
};

template <int kPanelRows>
struct PanelShared {
    PanelRow x[kPanelStages][kPanelRows];
    PanelRow w[kPanelStages][kPanelWeights];
};

__device__ bf16_t* panel_chunk(PanelRow* rows, int row, int chunk) {
    return rows[row].values + ((chunk ^ (row / 2 % 4)) * kPanelChunk);
}

// Starts copying kRows rows of a matrix [n, k], from `first` on, columns [k0, k0 + kPanelK); what
// lies outside is zero.
template <int kRows>
__device__ void copy_panel(PanelRow* dst, const bf16_t* src, int first, int n, int k0, int k) {
    constexpr int kChunks = kPanelK / kPanelChunk;
#pragma unroll
    for (int i = 0; i < kRows * kChunks / kPanelThreads; i++) {
        const int idx = i * kPanelThreads + static_cast<int>(threadIdx.x);
        const int row = idx / kChunks;
        const int chunk = idx % kChunks;
        const int column = k0 + chunk * kPanelChunk;
        const bool is_inside = first + row < n && column < k;
        const int64_t at = static_cast<int64_t>(first + row) * k + column;
        simt::async_copy16(panel_chunk(dst, row, chunk), is_inside ? src + at : src, is_inside);
    }
}

// dst[row, column] and the next.
__device__ void store_two(const PanelProduct& args, int row, int column, float a, float b) {
    if (row >= args.n_rows || column >= args.n) return;
    const int64_t at = static_cast<int64_t>(row) * args.n + column;
    if (args.n % 2 == 0) {
        if (args.dst_bf16 != nullptr) {
            *reinterpret_cast<uint32_t*>(args.dst_bf16 + at) = simt::bf16x2_from_f32(a, b);
            return;
        }
        simt::F32x2* dst = reinterpret_cast<simt::F32x2*>(args.dst + at);
        const simt::F32x2 before = args.accumulate ? *dst : simt::F32x2{0.0f, 0.0f};
        *dst = {before.x + a, before.y + b};
        return;
    }
    const float sums[2] = {a, b};
    for (int i = 0; i < 2 && column + i < args.n; i++) {
        if (args.dst_bf16 != nullptr)
            args.dst_bf16[at + i] = simt::bf16_from_f32(sums[i]);
        else
            args.dst[at + i] = (args.accumulate ? args.dst[at + i] : 0.0f) + sums[i];
    }
}

// Grid: x takes kPanelRows rows of x, y takes 128 weight rows: the blocks that run at one time then
// share their weights, which are expected to come from memory once and x, much smaller, from the
// second-level cache. Block: 8 warps, 2 over the rows x 4 over the weights; each multiplies
// kPanelRows / 2 x 32 in tiles of 16 x 8. k is taken in the same order by every tile, so a row's
// bits do not depend on n_rows. Phases, per stage of
// 32 k: wait for its copies, barrier, start the copies three stages ahead into the place that all
// have left, products.
template <int kPanelRows>
__global__ void __launch_bounds__(kPanelThreads) panel_product(PanelProduct args) {
    constexpr int kRowTiles = kPanelRows / 2 / 16;
    constexpr int kColumnTiles = 4;
    PanelShared<kPanelRows>& shared = simt::shared<PanelShared<kPanelRows>>();
    const int first_row = static_cast<int>(blockIdx.x) * kPanelRows;
    const int first_weight = static_cast<int>(blockIdx.y) * kPanelWeights;
    const int lane = static_cast<int>(threadIdx.x % 32);
    const int warp = static_cast<int>(threadIdx.x / 32);
    const int warp_row = warp % 2 * (kPanelRows / 2);
    const int warp_column = warp / 2 * 32;
    const int n_stages = (args.k + kPanelK - 1) / kPanelK;

    const auto copy_stage = [&](int stage) {
        if (stage < n_stages) {
            copy_panel<kPanelRows>(shared.x[stage % kPanelStages], args.x, first_row, args.n_rows,
                                   stage * kPanelK, args.k);
            copy_panel<kPanelWeights>(shared.w[stage % kPanelStages], args.w, first_weight, args.n,
                                      stage * kPanelK, args.k);
        }
        simt::async_commit();  // of nothing behind the last stage, so all copies are waited for
    };

    float sums[kRowTiles][kColumnTiles][4] = {};
    for (int stage = 0; stage < kPanelStages - 1; stage++)
        copy_stage(stage);
    for (int stage = 0; stage < n_stages; stage++) {
        simt::async_wait<kPanelStages - 2>();
        __syncthreads();
        copy_stage(stage + kPanelStages - 1);
        PanelRow* x = shared.x[stage % kPanelStages];
        PanelRow* w = shared.w[stage % kPanelStages];
#pragma unroll
        for (int half = 0; half < kPanelK / 16; half++) {
            uint32_t a[kRowTiles][4];
            uint32_t b[kColumnTiles / 2][4];
#pragma unroll
            for (int i = 0; i < kRowTiles; i++)
                simt::ldmatrix_x4(
                    a[i], panel_chunk(x, warp_row + i * 16 + lane % 16, half * 2 + lane / 16));
#pragma unroll
            for (int j = 0; j < kColumnTiles / 2; j++)
                simt::ldmatrix_x4(b[j],
                                  panel_chunk(w, warp_column + j * 16 + lane / 16 * 8 + lane % 8,
                                              half * 2 + lane / 8 % 2));
#pragma unroll
            for (int i = 0; i < kRowTiles; i++)
#pragma unroll
                for (int j = 0; j < kColumnTiles; j++)
                    simt::mma_bf16_16x8x16(sums[i][j], a[i],
                                           {b[j / 2][j % 2 * 2], b[j / 2][j % 2 * 2 + 1]});
        }
    }
#pragma unroll
    for (int i = 0; i < kRowTiles; i++) {
#pragma unroll
        for (int j = 0; j < kColumnTiles; j++) {
            const int row = first_row + warp_row + i * 16 + lane / 4;
            const int column = first_weight + warp_column + j * 8 + lane % 4 * 2;
            store_two(args, row, column, sums[i][j][0], sums[i][j][1]);
            store_two(args, row + 8, column, sums[i][j][2], sums[i][j][3]);
        }
    }
}

template <int kPanelRows>
void launch_panel_of(simt::Stream* stream, const PanelProduct& args) {
    const simt::Shape shape{{static_cast<uint32_t>((args.n_rows + kPanelRows - 1) / kPanelRows),
                             static_cast<uint32_t>((args.n + kPanelWeights - 1) / kPanelWeights)},
                            {kPanelThreads}};
    simt::launch<PanelShared<kPanelRows>>(stream, shape, panel_product<kPanelRows>, args);
}

void launch_panel_product(simt::Stream* stream, const PanelProduct& args) {
    if (args.n_rows == 0 || args.n == 0) return;
    if (args.n_rows <= 64) return launch_panel_of<64>(stream, args);
    launch_panel_of<128>(stream, args);
}

}  // namespace
}  // namespace baltoro::gpu
