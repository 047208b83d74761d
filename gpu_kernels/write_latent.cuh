#pragma once

#include "gpu_kernels/kernels.h"
#include "gpu_kernels/reduce.cuh"
#include "gpu_kernels/simt/simt.h"

namespace baltoro::gpu {
namespace {

struct WriteLatentShared {
    float warp_sums[8];
};

// Grid: one block of 256 threads per row. Phases: sum of squares, barrier, the row.
__global__ void write_latent(WriteLatent args) {
    WriteLatentShared& shared = simt::shared<WriteLatentShared>();
    const int rank = args.shapes.kv_lora_rank;
    const int rope_dim = args.shapes.qk_rope_head_dim;
    const int64_t row = blockIdx.x;
    const float* c = args.kv + row * (rank + rope_dim);
    bf16_t* dst = args.pages + static_cast<int64_t>(args.slots[row]) * (rank + rope_dim);
    float squares = 0.0f;
    for (int i = static_cast<int>(threadIdx.x); i < rank; i += 256)
        squares += c[i] * c[i];
    const float sum = block_sum<256>(squares, shared.warp_sums);
    const float inverse = 1.0f / sqrtf(sum / static_cast<float>(rank) + args.eps);
    for (int i = static_cast<int>(threadIdx.x); i < rank; i += 256)
        dst[i] = simt::bf16_from_f32(simt::f32_from_bf16(args.gain[i]) * (c[i] * inverse));
    const float* key = c + rank;
    const float* rope = args.rope + row * rope_dim;
    for (int i = static_cast<int>(threadIdx.x); i < rope_dim / 2; i += 256) {
        const float cosine = rope[2 * i];
        const float sine = rope[2 * i + 1];
        const float a = key[2 * i];
        const float b = key[2 * i + 1];
        dst[rank + 2 * i] = simt::bf16_from_f32(a * cosine - b * sine);
        dst[rank + 2 * i + 1] = simt::bf16_from_f32(b * cosine + a * sine);
    }
}

void launch_write_latent(simt::Stream* stream, const WriteLatent& args) {
    if (args.n_rows == 0) return;
    simt::launch<WriteLatentShared>(stream, {{static_cast<uint32_t>(args.n_rows)}, {256}},
                                    write_latent, args);
}

}  // namespace
}  // namespace baltoro::gpu
