#pragma once

#include "gpu_kernels/simt/simt.h"
#include "tests/gpu_check/simt_kernels.h"

namespace baltoro::gpu_check {
namespace {

using simt::F32x2;
using simt::F32x4;
using simt::NoShared;
using simt::U32x4;

// dst uint32 [2, 3, 2, 2, 40]: grid 2 x 3 x 2, block 40 x 2; each thread its place in the grid.
__global__ void probe_indices(SimtProbe args) {
    const uint32_t block = (blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
    const uint32_t place = block * blockDim.x * blockDim.y + threadIdx.y * blockDim.x + threadIdx.x;
    static_cast<uint32_t*>(args.dst)[place] = place;
}

// src uint32 [32]; dst uint32 [5, 32]: from lane (7 l + 3) % 32, from l ^ 5, from l + 3, the low
// half of a 64-bit value from l ^ 16, and from l ^ 1 among the first half of the warp.
__global__ void probe_shuffles(SimtProbe args) {
    const int lane = static_cast<int>(threadIdx.x);
    uint32_t* dst = static_cast<uint32_t*>(args.dst);
    const uint32_t value = static_cast<const uint32_t*>(args.src)[lane];
    dst[lane] = __shfl_sync(0xffffffffu, value, (7 * lane + 3) % 32);
    dst[32 + lane] = __shfl_xor_sync(0xffffffffu, value, 5);
    dst[64 + lane] = __shfl_down_sync(0xffffffffu, value, 3);
    const double wide = static_cast<double>(value) * 4294967296.0;
    dst[96 + lane] = static_cast<uint32_t>(__shfl_xor_sync(0xffffffffu, wide, 16) / 4294967296.0);
    if (lane < 16)
        dst[128 + lane] = __shfl_xor_sync(0x0000ffffu, value, 1);
    else
        dst[128 + lane] = value;
    __syncwarp();
}

// src uint32 [32]; dst uint32 [2, 32]: odd values of the warp, and of its upper half.
__global__ void probe_ballots(SimtProbe args) {
    const int lane = static_cast<int>(threadIdx.x);
    uint32_t* dst = static_cast<uint32_t*>(args.dst);
    const bool is_odd = (static_cast<const uint32_t*>(args.src)[lane] & 1u) != 0;
    dst[lane] = __ballot_sync(0xffffffffu, is_odd);
    dst[32 + lane] = 0;
    if (lane >= 16) dst[32 + lane] = __ballot_sync(0xffff0000u, is_odd);
}

// More than the 48 KB that a launch has without asking.
struct LargeShared {
    uint32_t words[24 * 1024];
};

// dst uint32 [24 * 1024]: the numbers downwards, through shared memory of a block of 96 threads.
__global__ void probe_large_shared(SimtProbe args) {
    constexpr uint32_t kWords = 24 * 1024;
    LargeShared& shared = simt::shared<LargeShared>();
    for (uint32_t i = threadIdx.x; i < kWords; i += 96)
        shared.words[i] = i;
    __syncthreads();
    for (uint32_t i = threadIdx.x; i < kWords; i += 96)
        static_cast<uint32_t*>(args.dst)[i] = shared.words[kWords - 1 - i];
}

// src bf16 [16, 16] a, then [16, 8] b; dst f32 [16, 8]: dst += a b.
__global__ void probe_mma(SimtProbe args) {
    const int g = static_cast<int>(threadIdx.x) / 4;
    const int t = static_cast<int>(threadIdx.x) % 4;
    const bf16_t* a = static_cast<const bf16_t*>(args.src);
    const bf16_t* b = a + 16 * 16;
    float* dst = static_cast<float*>(args.dst);
    uint32_t a_regs[4];
    uint32_t b_regs[2];
    float d[4];
    for (int i = 0; i < 4; i++) {
        const int row = g + i % 2 * 8;
        const int k = 2 * t + i / 2 * 8;
        a_regs[i] = a[row * 16 + k] | static_cast<uint32_t>(a[row * 16 + k + 1]) << 16;
    }
    for (int i = 0; i < 2; i++) {
        const int k = 2 * t + i * 8;
        b_regs[i] = b[k * 8 + g] | static_cast<uint32_t>(b[(k + 1) * 8 + g]) << 16;
    }
    for (int i = 0; i < 4; i++)
        d[i] = dst[(g + i / 2 * 8) * 8 + 2 * t + i % 2];
    simt::mma_bf16_16x8x16(d, a_regs, b_regs);
    for (int i = 0; i < 4; i++)
        dst[(g + i / 2 * 8) * 8 + 2 * t + i % 2] = d[i];
}

struct MatrixShared {
    bf16_t rows[32][24];  // of 8; the rest is padding
};

// src bf16 [4, 8, 8]; dst uint32 [2, 32, 4]: what each lane gets, plain and transposed.
__global__ void probe_ldmatrix(SimtProbe args) {
    MatrixShared& shared = simt::shared<MatrixShared>();
    const int lane = static_cast<int>(threadIdx.x);
    for (int i = 0; i < 8; i++)
        shared.rows[lane][i] = static_cast<const bf16_t*>(args.src)[lane * 8 + i];
    __syncthreads();
    uint32_t plain[4];
    uint32_t transposed[4];
    simt::ldmatrix_x4(plain, shared.rows[lane]);
    simt::ldmatrix_x4_transposed(transposed, shared.rows[lane]);
    uint32_t* dst = static_cast<uint32_t*>(args.dst);
    for (int m = 0; m < 4; m++) {
        dst[lane * 4 + m] = plain[m];
        dst[128 + lane * 4 + m] = transposed[m];
    }
}

struct CopyShared {
    U32x4 pieces[3][64];
};

// src U32x4 [3, 64]; dst U32x4 [3, 64]: groups 0 and 2 copied, group 1 not valid. Group 0 is read
// by the lane that copied it while group 2 may be on its way, the others by the neighbouring lane.
__global__ void probe_async_copies(SimtProbe args) {
    CopyShared& shared = simt::shared<CopyShared>();
    const int i = static_cast<int>(threadIdx.x);
    const U32x4* src = static_cast<const U32x4*>(args.src);
    U32x4* dst = static_cast<U32x4*>(args.dst);
    for (int group = 0; group < 3; group++) {
        simt::async_copy16(&shared.pieces[group][i], src + group * 64 + i, group != 1);
        simt::async_commit();
    }
    simt::async_wait<1>();
    dst[i] = shared.pieces[0][i];
    simt::async_wait<0>();
    __syncthreads();
    const int neighbour = (i + 1) % 64;
    dst[64 + neighbour] = shared.pieces[1][neighbour];
    dst[128 + neighbour] = shared.pieces[2][neighbour];
}

// src U32x4 [64]; dst U32x4 [2, 64]: both kinds of loads.
__global__ void probe_loads_and_stores(SimtProbe args) {
    const int i = static_cast<int>(threadIdx.x);
    const U32x4* src = static_cast<const U32x4*>(args.src) + i;
    U32x4* dst = static_cast<U32x4*>(args.dst);
    simt::store16(dst + i, simt::load16<U32x4>(src));
    simt::store16(dst + 64 + i, simt::load16_streaming<U32x4>(src));
}

// dst f32 [256]: every code.
__global__ void probe_e4m3(SimtProbe args) {
    const uint32_t first = threadIdx.x * 4;
    const uint32_t codes = first | (first + 1) << 8 | (first + 2) << 16 | (first + 3) << 24;
    const F32x4 values = simt::f32x4_from_e4m3x4(codes);
    simt::store16(static_cast<float*>(args.dst) + first, values);
}

// dst uint32 [2, 65536]: the bits of every code's value, alone and in pairs (i, 65535 - i).
__global__ void probe_bf16_to_f32(SimtProbe args) {
    const uint32_t i = blockIdx.x * blockDim.x + threadIdx.x;
    float* dst = static_cast<float*>(args.dst);
    dst[i] = simt::f32_from_bf16(static_cast<bf16_t>(i));
    const F32x2 pair = simt::f32x2_from_bf16x2(i | (65535 - i) << 16);
    dst[65536 + i] = i % 2 == 0 ? pair.x : pair.y;
}

// src f32 [256]; dst bf16 [256, 3]: alone, and in the low and the high half of a pair.
__global__ void probe_f32_to_bf16(SimtProbe args) {
    const uint32_t i = threadIdx.x;
    const float* src = static_cast<const float*>(args.src);
    bf16_t* dst = static_cast<bf16_t*>(args.dst);
    dst[3 * i] = simt::bf16_from_f32(src[i]);
    const uint32_t pair = simt::bf16x2_from_f32(src[i], src[255 - i]);
    dst[3 * i + 1] = static_cast<bf16_t>(pair & 0xffffu);
    dst[3 * (255 - i) + 2] = static_cast<bf16_t>(pair >> 16);
}

// src f32 [256] positive; dst f32 [6, 256].
__global__ void probe_arithmetic(SimtProbe args) {
    const uint32_t i = threadIdx.x;
    const float x = static_cast<const float*>(args.src)[i];
    float* dst = static_cast<float*>(args.dst);
    dst[i] = simt::multiply_add(x, x, -1.0f);
    dst[256 + i] = expf(-x);
    dst[512 + i] = exp2f(-x);
    dst[768 + i] = rsqrtf(x);
    dst[1024 + i] = sqrtf(x);
    dst[1280 + i] = 1.0f / x;
}

// dst uint32 [1 + 256], f32 [1]: both sums count the threads of 4 blocks of 64; each thread marks
// the count that it found.
__global__ void probe_atomics(SimtProbe args) {
    uint32_t* dst = static_cast<uint32_t*>(args.dst);
    const uint32_t found = atomicAdd(dst, 1u);
    if (found < 256) atomicAdd(dst + 1 + found, 1u);
    atomicAdd(reinterpret_cast<float*>(dst + 257), 1.0f);
}

// src uint32 [1], raised by the host to 5; dst uint32 [1]: raised by the kernel to one more.
__global__ void probe_flags(SimtProbe args) {
    const uint32_t* flag = static_cast<const uint32_t*>(args.src);
    while (simt::load_acquire_system(flag) < 5)
        simt::spin_pause();
    simt::store_release_system(static_cast<uint32_t*>(args.dst),
                               simt::load_acquire_system(flag) + 1);
}

template <auto kKernel, typename Shared, uint32_t kBlocks, uint32_t kThreads>
void launch_probe(simt::Stream* stream, const SimtProbe& args) {
    simt::launch<Shared>(stream, {{kBlocks}, {kThreads}}, kKernel, args);
}

void launch_indices(simt::Stream* stream, const SimtProbe& args) {
    simt::launch<NoShared>(stream, {{2, 3, 2}, {40, 2}}, probe_indices, args);
}

const SimtKernels kSimtKernels = {
    launch_indices,
    launch_probe<probe_shuffles, NoShared, 1, 32>,
    launch_probe<probe_ballots, NoShared, 1, 32>,
    launch_probe<probe_large_shared, LargeShared, 1, 96>,
    launch_probe<probe_mma, NoShared, 1, 32>,
    launch_probe<probe_ldmatrix, MatrixShared, 1, 32>,
    launch_probe<probe_async_copies, CopyShared, 1, 64>,
    launch_probe<probe_loads_and_stores, NoShared, 1, 64>,
    launch_probe<probe_e4m3, NoShared, 1, 64>,
    launch_probe<probe_bf16_to_f32, NoShared, 256, 256>,
    launch_probe<probe_f32_to_bf16, NoShared, 1, 256>,
    launch_probe<probe_arithmetic, NoShared, 1, 256>,
    launch_probe<probe_atomics, NoShared, 4, 64>,
    launch_probe<probe_flags, NoShared, 1, 1>,
};

}  // namespace
}  // namespace baltoro::gpu_check
