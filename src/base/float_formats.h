#pragma once

// Conversions between float and the narrow formats of the checkpoints. Everything is `static
// inline` and free of C++ library headers, because ISA files include this file: an inline function
// with external linkage would be compiled for AVX-512 there and could be linked for everybody.

#include <stdint.h>
#include <string.h>

namespace baltoro {

// Raw bits, so that arrays of them are exactly what a checkpoint holds.
using bf16_t = uint16_t;
using e4m3_t = uint8_t;

static inline float float_from_bits(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static inline uint32_t bits_from_float(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static inline float float_from_bf16(bf16_t value) {
    return float_from_bits(static_cast<uint32_t>(value) << 16);
}

// Rounds to nearest even; a NaN stays a (quiet) NaN, values past the largest bf16 become infinity.
static inline bf16_t bf16_from_float(float value) {
    const uint32_t bits = bits_from_float(value);
    if ((bits & 0x7fffffffu) > 0x7f800000u) return static_cast<bf16_t>((bits >> 16) | 0x40u);
    return static_cast<bf16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

// OCP 8-bit float E4M3 ("fn"): bias 7, subnormals in steps of 2^-9, no infinity, 0x7f and 0xff NaN.
static inline float float_from_e4m3(e4m3_t code) {
    const uint32_t sign = static_cast<uint32_t>(code & 0x80u) << 24;
    const uint32_t exponent = (code >> 3) & 0xfu;
    const uint32_t mantissa = code & 7u;
    if (exponent == 0xfu && mantissa == 7u) return float_from_bits(sign | 0x7fc00000u);
    if (exponent == 0) {
        const float magnitude = static_cast<float>(mantissa) * 0.001953125f;
        return float_from_bits(sign | bits_from_float(magnitude));
    }
    return float_from_bits(sign | ((exponent + 120u) << 23) | (mantissa << 20));
}

// Rounds to nearest even and saturates at +-448; NaN gives 0x7f.
static inline e4m3_t e4m3_from_float(float value) {
    const uint32_t bits = bits_from_float(value);
    const uint32_t sign = (bits >> 24) & 0x80u;
    const uint32_t magnitude_bits = bits & 0x7fffffffu;
    if (magnitude_bits > 0x7f800000u) return 0x7f;
    const float magnitude = float_from_bits(magnitude_bits);
    if (magnitude >= 464.0f) return static_cast<e4m3_t>(sign | 0x7eu);
    if (magnitude <
        0.015625f) {  // subnormal: adding 2^14 leaves the multiple of 2^-9 in the mantissa
        const float shifted = magnitude + 16384.0f;
        return static_cast<e4m3_t>(sign | (bits_from_float(shifted) - bits_from_float(16384.0f)));
    }
    const uint32_t rounded = magnitude_bits + 0x7ffffu + ((magnitude_bits >> 20) & 1u);
    const uint32_t code = (rounded >> 20) - (120u << 3);
    return static_cast<e4m3_t>(sign | (code > 0x7eu ? 0x7eu : code));
}

}  // namespace baltoro
