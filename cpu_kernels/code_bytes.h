#pragma once

// Tables of what e4m3 codes mean as bf16, for byte permutations.

#include <stdint.h>

namespace baltoro::kernels {
namespace {

// What some decoders divide e4m3 by, so that moving a code's bits gives its exponent.
constexpr float kFp8Divisor = 256.0f;

// The bits of bf16(weight / 2^divisor_log2) of an e4m3 code without its sign.
constexpr unsigned bf16_bits_of_code(unsigned code, unsigned divisor_log2) {
    if (code == 0x7f) return 0x7fc0;
    if (code == 0) return 0;
    unsigned exponent = 120 - divisor_log2 + (code >> 3);
    unsigned mantissa = 8 | (code & 7);
    if (code < 8) {
        ++exponent;
        for (mantissa = code; mantissa < 8; mantissa <<= 1)
            --exponent;
    }
    return (exponent << 7) | ((mantissa & 7) << 4);
}

// The bytes for all codes without a sign.
struct alignas(64) CodeBytes {
    uint8_t low[128];
    uint8_t high[128];
};

constexpr CodeBytes make_code_bytes(unsigned divisor_log2) {
    CodeBytes t{};
    for (unsigned code = 0; code < 128; ++code) {
        const unsigned bits = bf16_bits_of_code(code, divisor_log2);
        t.low[code] = static_cast<uint8_t>(bits & 0xff);
        t.high[code] = static_cast<uint8_t>(bits >> 8);
    }
    return t;
}

// The bytes for codes 0 to 7, which have no exponent, over and over: once for each of four 128-bit
// lanes, as byte shuffles need them.
struct alignas(64) SubnormalBytes {
    uint8_t low[64];
    uint8_t high[64];
};

constexpr SubnormalBytes make_subnormal_bytes(unsigned divisor_log2) {
    SubnormalBytes t{};
    for (unsigned i = 0; i < 64; ++i) {
        const unsigned bits = bf16_bits_of_code(i & 7, divisor_log2);
        t.low[i] = static_cast<uint8_t>(bits & 0xff);
        t.high[i] = static_cast<uint8_t>(bits >> 8);
    }
    return t;
}

}  // namespace
}  // namespace baltoro::kernels
