#pragma once

#include <cstdint>

#include "base/float_formats.h"

namespace baltoro {

// Block fp8 as DeepSeek-V3's checkpoints have it: one f32 scale per 128 x 128 block (ragged at the
// edges), scale = max|w| / 448 (1 if the block is zero), code = e4m3(w / scale). The scale is
// stored as `weight_scale_inv` and multiplied when read.

// Scale blocks along a dimension of n.
constexpr std::int64_t scale_blocks(std::int64_t n) noexcept {
    return (n + 127) / 128;
}

//   src    f32 [n, k]        codes  e4m3 [n, k]       scales  f32 [scale_blocks(n),
//   scale_blocks(k)]
void quantise_block_fp8(
    const float* src, std::int64_t n, std::int64_t k, e4m3_t* codes, float* scales) noexcept;

//   dst    f32 [n, k] = codes * scale of the block
void dequantise_block_fp8(
    const e4m3_t* codes, const float* scales, std::int64_t n, std::int64_t k, float* dst) noexcept;

}  // namespace baltoro
