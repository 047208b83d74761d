#pragma once

#include <stdint.h>

namespace baltoro::kernels {
namespace {

// What unit decoders divide e4m3 by, so that moving a code's bits gives its exponent.
constexpr float kFp8Divisor = 256.0f;

// The bytes of bf16(m * 2^-9 / divisor) at m = 0..7, what e4m3 codes without an exponent mean, once
// for each of four 128-bit lanes: tables of byte shuffles. The divisor is 2^divisor_log2.
struct alignas(64) SubnormalBytes {
    uint8_t low[64];
    uint8_t high[64];
};

constexpr SubnormalBytes make_subnormal_bytes(unsigned divisor_log2) {
    SubnormalBytes t{};
    for (unsigned i = 0; i < 64; ++i) {
        unsigned mantissa = i & 7u;
        unsigned exponent = 121 - divisor_log2;
        while (mantissa != 0 && mantissa < 8) {
            mantissa <<= 1;
            --exponent;
        }
        const unsigned bits = mantissa == 0 ? 0 : (exponent << 7) | ((mantissa & 7u) << 4);
        t.low[i] = static_cast<uint8_t>(bits & 0xffu);
        t.high[i] = static_cast<uint8_t>(bits >> 8);
    }
    return t;
}

}  // namespace
}  // namespace baltoro::kernels
