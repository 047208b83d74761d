#pragma once

#include "gpu_kernels/kernels.h"
#include "gpu_kernels/simt/simt.h"

namespace baltoro::gpu {
namespace {

constexpr int kFourWeights = 4;

// Four neighbouring weights of a row of kv_b as they lie in memory: rows are multiples of eight
// weights, so four are the most that never straddle an aligned load, and a warp still reads 128
// bytes or more at once.
template <WeightFormat kFormat>
struct RawFour {
    uint32_t words[kFormat == WeightFormat::fp8_block ? 1 : 2] = {};
};

template <WeightFormat kFormat>
__device__ RawFour<kFormat> load_four(const Weight& w, int row, int column) {
    const int64_t at = static_cast<int64_t>(row) * w.k + column;
    RawFour<kFormat> raw;
    if constexpr (kFormat == WeightFormat::fp8_block) {
        raw.words[0] = *reinterpret_cast<const uint32_t*>(static_cast<const e4m3_t*>(w.data) + at);
    } else {
        const simt::U32x2 words =
            *reinterpret_cast<const simt::U32x2*>(static_cast<const bf16_t*>(w.data) + at);
        raw.words[0] = words.x;
        raw.words[1] = words.y;
    }
    return raw;
}

// The four weights' common scale: blocks are cut at multiples of 128 of the whole matrix, wherever
// its heads begin.
template <WeightFormat kFormat>
__device__ float scale_of(const Weight& w, int row, int column) {
    if constexpr (kFormat != WeightFormat::fp8_block) return 1.0f;
    const int blocks = (w.k + kScaleBlock - 1) / kScaleBlock;
    return w.scale[static_cast<int64_t>(row / kScaleBlock) * blocks + column / kScaleBlock];
}

template <WeightFormat kFormat>
__device__ void decode_four(const RawFour<kFormat>& raw, float scale, float (&dst)[kFourWeights]) {
    if constexpr (kFormat == WeightFormat::fp8_block) {
        const simt::F32x4 four = simt::f32x4_from_e4m3x4(raw.words[0]);
        dst[0] = four.x * scale;
        dst[1] = four.y * scale;
        dst[2] = four.z * scale;
        dst[3] = four.w * scale;
    } else {
        const simt::F32x2 low = simt::f32x2_from_bf16x2(raw.words[0]);
        const simt::F32x2 high = simt::f32x2_from_bf16x2(raw.words[1]);
        dst[0] = low.x;
        dst[1] = low.y;
        dst[2] = high.x;
        dst[3] = high.y;
    }
}

}  // namespace
}  // namespace baltoro::gpu
