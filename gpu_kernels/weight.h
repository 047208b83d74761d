#pragma once

#include <stdint.h>

namespace baltoro::gpu {

constexpr int kScaleBlock = 128;  // weights that share one scale, in both dimensions

enum class WeightFormat : uint8_t { bf16, fp8_block, f32 };

// A weight matrix [n, k]; e4m3 has f32 scales [ceil(n / 128), ceil(k / 128)], multiplied.
struct Weight {
    const void* data;
    const float* scale;  // null unless fp8_block
    int n;
    int k;
    WeightFormat format;
};

}  // namespace baltoro::gpu
