#include "weights/quantise.h"

#include <algorithm>
#include <cfloat>
#include <cmath>

namespace baltoro {
namespace {

constexpr std::int64_t kBlock = 128;
constexpr float kLargestCode = 448.0f;

struct Block {
    std::int64_t row_begin, row_end, col_begin, col_end;
};

Block block_at(std::int64_t row, std::int64_t col, std::int64_t n, std::int64_t k) noexcept {
    return {row, std::min(row + kBlock, n), col, std::min(col + kBlock, k)};
}

float block_scale(const float* src, std::int64_t k, const Block& block) noexcept {
    float largest = 0.0f;
    for (std::int64_t i = block.row_begin; i < block.row_end; ++i) {
        for (std::int64_t j = block.col_begin; j < block.col_end; ++j) {
            largest = std::max(largest, std::fabs(src[i * k + j]));
        }
    }
    if (largest == 0.0f) return 1.0f;
    return std::max(largest / kLargestCode, FLT_MIN);  // a subnormal scale would lose bits
}

// e4m3_from_float for |value| <= 448, without branches, so that the loop is vectorised.
inline e4m3_t code_of(float value) noexcept {
    const std::uint32_t bits = bits_from_float(value);
    const std::uint32_t sign = (bits >> 24) & 0x80u;
    const std::uint32_t magnitude = bits & 0x7fffffffu;
    const std::uint32_t normal =
        ((magnitude + 0x7ffffu + ((magnitude >> 20) & 1u)) >> 20) - (120u << 3);
    const std::uint32_t subnormal =
        bits_from_float(float_from_bits(magnitude) + 16384.0f) - bits_from_float(16384.0f);
    const std::uint32_t code = magnitude < bits_from_float(0.015625f) ? subnormal : normal;
    return static_cast<e4m3_t>(sign | code);
}

}  // namespace

void quantise_block_fp8(
    const float* src, std::int64_t n, std::int64_t k, e4m3_t* codes, float* scales) noexcept {
    for (std::int64_t row = 0; row < n; row += kBlock) {
        for (std::int64_t col = 0; col < k; col += kBlock) {
            const Block block = block_at(row, col, n, k);
            const float scale = block_scale(src, k, block);
            *scales++ = scale;
            for (std::int64_t i = block.row_begin; i < block.row_end; ++i) {
                for (std::int64_t j = block.col_begin; j < block.col_end; ++j) {
                    // The division may round past 448 by an ulp.
                    const float value = std::clamp(src[i * k + j] / scale, -448.0f, 448.0f);
                    codes[i * k + j] = code_of(value);
                }
            }
        }
    }
}

void dequantise_block_fp8(
    const e4m3_t* codes, const float* scales, std::int64_t n, std::int64_t k, float* dst) noexcept {
    float value_of[256];
    for (int code = 0; code < 256; ++code)
        value_of[code] = float_from_e4m3(static_cast<e4m3_t>(code));
    const std::int64_t n_scale_cols = scale_blocks(k);
    for (std::int64_t i = 0; i < n; ++i) {
        const float* row_scales = scales + i / kBlock * n_scale_cols;
        for (std::int64_t j = 0; j < k; ++j) {
            dst[i * k + j] = value_of[codes[i * k + j]] * row_scales[j / kBlock];
        }
    }
}

}  // namespace baltoro
