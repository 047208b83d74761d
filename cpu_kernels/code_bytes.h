#pragma once

#include <stdint.h>

namespace baltoro::kernels {
namespace {

// The bytes of bf16(weight / 2^divisor_log2) for the 128 e4m3 codes without a sign, 0x7f being NaN:
// tables of byte permutations.
struct alignas(64) CodeBytes {
    uint8_t low[128];
    uint8_t high[128];
};

constexpr CodeBytes make_code_bytes(unsigned divisor_log2) {
    CodeBytes t{};
    for (unsigned code = 0; code < 128; ++code) {
        unsigned exponent = 120 - divisor_log2 + (code >> 3);
        unsigned mantissa = 8 | (code & 7);
        if (code < 8) {
            ++exponent;
            for (mantissa = code; mantissa != 0 && mantissa < 8; mantissa <<= 1)
                --exponent;
        }
        unsigned bits = mantissa == 0 ? 0 : (exponent << 7) | ((mantissa & 7) << 4);
        if (code == 0x7f) bits = 0x7fc0;
        t.low[code] = static_cast<uint8_t>(bits & 0xff);
        t.high[code] = static_cast<uint8_t>(bits >> 8);
    }
    return t;
}

}  // namespace
}  // namespace baltoro::kernels
