#pragma once

#include "gpu_kernels/kernels.h"
#include "gpu_kernels/simt/simt.h"

namespace baltoro::gpu {
namespace {

constexpr int kElementThreads = 256;

uint32_t blocks_for(int64_t n_threads) {
    return static_cast<uint32_t>((n_threads + kElementThreads - 1) / kElementThreads);
}

__device__ float silu(float x) {
    return x / (1.0f + expf(-x));
}

// Grid: x is the row, y covers its elements by 256 threads.
__global__ void embed(Embed args) {
    const int i = static_cast<int>(blockIdx.y * kElementThreads + threadIdx.x);
    if (i >= args.table.k) return;
    const int64_t row = blockIdx.x;
    const int64_t src = static_cast<int64_t>(args.ids[row]) * args.table.k + i;
    args.dst[row * args.table.k + i] =
        args.table.format == WeightFormat::f32
            ? static_cast<const float*>(args.table.data)[src]
            : simt::f32_from_bf16(static_cast<const bf16_t*>(args.table.data)[src]);
}

void launch_embed(simt::Stream* stream, const Embed& args) {
    if (args.n_rows == 0) return;
    simt::launch<simt::NoShared>(
        stream, {{static_cast<uint32_t>(args.n_rows), blocks_for(args.table.k)}, {kElementThreads}},
        embed, args);
}

// Grid: one thread for four elements; the last ones take the rest.
__global__ void add(Add args) {
    const int64_t i = (static_cast<int64_t>(blockIdx.x) * kElementThreads + threadIdx.x) * 4;
    if (i + 4 <= args.n) {
        const simt::F32x4 a = simt::load16<simt::F32x4>(args.src + i);
        simt::F32x4 b = simt::load16<simt::F32x4>(args.dst + i);
        b.x += a.x;
        b.y += a.y;
        b.z += a.z;
        b.w += a.w;
        simt::store16(args.dst + i, b);
        return;
    }
    for (int64_t j = i; j < args.n; j++)
        args.dst[j] += args.src[j];
}

void launch_add(simt::Stream* stream, const Add& args) {
    if (args.n == 0) return;
    simt::launch<simt::NoShared>(stream, {{blocks_for((args.n + 3) / 4)}, {kElementThreads}}, add,
                                 args);
}

// Grid: one thread for four elements; the last ones take the rest.
__global__ void silu_mul(SiluMul args) {
    const int64_t i = (static_cast<int64_t>(blockIdx.x) * kElementThreads + threadIdx.x) * 4;
    if (i + 4 <= args.n) {
        const simt::F32x4 gate = simt::load16<simt::F32x4>(args.gate + i);
        const simt::F32x4 up = simt::load16<simt::F32x4>(args.up + i);
        const simt::U32x2 pairs{simt::bf16x2_from_f32(silu(gate.x) * up.x, silu(gate.y) * up.y),
                                simt::bf16x2_from_f32(silu(gate.z) * up.z, silu(gate.w) * up.w)};
        *reinterpret_cast<simt::U32x2*>(args.dst + i) = pairs;
        return;
    }
    for (int64_t j = i; j < args.n; j++)
        args.dst[j] = simt::bf16_from_f32(silu(args.gate[j]) * args.up[j]);
}

void launch_silu_mul(simt::Stream* stream, const SiluMul& args) {
    if (args.n == 0) return;
    simt::launch<simt::NoShared>(stream, {{blocks_for((args.n + 3) / 4)}, {kElementThreads}},
                                 silu_mul, args);
}

}  // namespace
}  // namespace baltoro::gpu
