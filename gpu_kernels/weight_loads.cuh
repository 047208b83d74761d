#pragma once

#include "gpu_kernels/kernels.h"
#include "gpu_kernels/simt/simt.h"

namespace baltoro::gpu {
namespace {

constexpr int kLoadWeights = 16;  // weights that a thread decodes at a time

template <WeightFormat kFormat>
constexpr int kWeightBytes = kFormat == WeightFormat::fp8_block ? 1
                             : kFormat == WeightFormat::bf16    ? 2
                                                                : 4;

// 16 weights as they lie in memory, so that loads can be in flight before they are decoded.
template <WeightFormat kFormat>
struct RawWeights {
    simt::U32x4 words[kWeightBytes<kFormat>];
};

template <WeightFormat kFormat>
__device__ RawWeights<kFormat> load_weights(const void* src) {
    RawWeights<kFormat> raw;
#pragma unroll
    for (int i = 0; i < kWeightBytes<kFormat>; i++)
        raw.words[i] = simt::load16_streaming<simt::U32x4>(static_cast<const char*>(src) + i * 16);
    return raw;
}

__device__ void unpack_bf16x8(const simt::U32x4& words, float* dst) {
    const uint32_t pairs[4] = {words.x, words.y, words.z, words.w};
#pragma unroll
    for (int i = 0; i < 4; i++) {
        const simt::F32x2 two = simt::f32x2_from_bf16x2(pairs[i]);
        dst[2 * i] = two.x;
        dst[2 * i + 1] = two.y;
    }
}

template <WeightFormat kFormat>
__device__ void decode_weights(const RawWeights<kFormat>& raw, float (&dst)[kLoadWeights]) {
    if constexpr (kFormat == WeightFormat::fp8_block) {
        const uint32_t codes[4] = {raw.words[0].x, raw.words[0].y, raw.words[0].z, raw.words[0].w};
#pragma unroll
        for (int i = 0; i < 4; i++) {
            const simt::F32x4 four = simt::f32x4_from_e4m3x4(codes[i]);
            dst[4 * i] = four.x;
            dst[4 * i + 1] = four.y;
            dst[4 * i + 2] = four.z;
            dst[4 * i + 3] = four.w;
        }
    } else if constexpr (kFormat == WeightFormat::bf16) {
        unpack_bf16x8(raw.words[0], dst);
        unpack_bf16x8(raw.words[1], dst + 8);
    } else {
        memcpy(dst, raw.words, sizeof dst);
    }
}

}  // namespace
}  // namespace baltoro::gpu
