#pragma once

#include "gpu_kernels/kernels.h"
#include "gpu_kernels/rope_pair.cuh"
#include "gpu_kernels/simt/simt.h"

namespace baltoro::gpu {
namespace {

constexpr int kCopyThreads = 256;
constexpr int kCopyElements = 8;  // bf16 of one thread: 16 bytes

uint32_t copy_blocks(int64_t n_threads) {
    return static_cast<uint32_t>((n_threads + kCopyThreads - 1) / kCopyThreads);
}

// Grid: x takes the eights of a row's heads, y is the row. One thread for eight elements, which are
// all rotated or all not.
__global__ void rotate_queries(RotateQueries args) {
    const int nope = args.shapes.qk_nope_head_dim;
    const int rope_dim = args.shapes.qk_rope_head_dim;
    const int head_dim = nope + rope_dim;
    const int first = static_cast<int>(blockIdx.x * kCopyThreads + threadIdx.x) * kCopyElements;
    if (first >= args.shapes.n_heads * head_dim) return;
    const int64_t row = blockIdx.y;
    const int64_t at = row * args.shapes.n_heads * head_dim + first;
    const simt::F32x4 a = simt::load16<simt::F32x4>(args.q + at);
    const simt::F32x4 b = simt::load16<simt::F32x4>(args.q + at + 4);
    const int column = first % head_dim;
    simt::U32x4 pairs;
    if (column < nope) {
        pairs = {simt::bf16x2_from_f32(a.x, a.y), simt::bf16x2_from_f32(a.z, a.w),
                 simt::bf16x2_from_f32(b.x, b.y), simt::bf16x2_from_f32(b.z, b.w)};
    } else {
        const float* rope = args.rope + row * rope_dim + (column - nope);
        pairs = {rotated_pair(a.x, a.y, rope), rotated_pair(a.z, a.w, rope + 2),
                 rotated_pair(b.x, b.y, rope + 4), rotated_pair(b.z, b.w, rope + 6)};
    }
    simt::store16(args.dst + at, pairs);
}

void launch_rotate_queries(simt::Stream* stream, const RotateQueries& args) {
    if (args.n_rows == 0) return;
    const int row_elements =
        args.shapes.n_heads * (args.shapes.qk_nope_head_dim + args.shapes.qk_rope_head_dim);
    simt::launch<simt::NoShared>(
        stream,
        {{copy_blocks(row_elements / kCopyElements), static_cast<uint32_t>(args.n_rows)},
         {kCopyThreads}},
        rotate_queries, args);
}

// Grid: one thread for eight elements of the cache rows.
__global__ void gather_latent(GatherLatent args) {
    const int rank = args.shapes.kv_lora_rank;
    const int rope_dim = args.shapes.qk_rope_head_dim;
    const int chunks = (rank + rope_dim) / kCopyElements;
    const int64_t idx = static_cast<int64_t>(blockIdx.x) * kCopyThreads + threadIdx.x;
    const int64_t token = idx / chunks;
    if (token >= args.n_tokens) return;
    const int column = static_cast<int>(idx % chunks) * kCopyElements;
    const int position = args.first + static_cast<int>(token);
    const int64_t slot =
        static_cast<int64_t>(args.page_table[position / kPageTokens]) * kPageTokens +
        position % kPageTokens;
    const simt::U32x4 words =
        simt::load16<simt::U32x4>(args.pages + slot * (rank + rope_dim) + column);
    bf16_t* dst = column < rank ? args.dst_latent + token * rank + column
                                : args.dst_rope_key + token * rope_dim + (column - rank);
    simt::store16(dst, words);
}

void launch_gather_latent(simt::Stream* stream, const GatherLatent& args) {
    if (args.n_tokens == 0) return;
    const int chunks = (args.shapes.kv_lora_rank + args.shapes.qk_rope_head_dim) / kCopyElements;
    simt::launch<simt::NoShared>(
        stream, {{copy_blocks(static_cast<int64_t>(args.n_tokens) * chunks)}, {kCopyThreads}},
        gather_latent, args);
}

}  // namespace
}  // namespace baltoro::gpu
