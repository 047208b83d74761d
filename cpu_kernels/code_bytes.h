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

// The bytes for codes 0 to Codes - 1, over and over.
template <unsigned Codes, unsigned Entries>
struct alignas(64) BytesOfCodes {
    uint8_t low[Entries];
    uint8_t high[Entries];
};

template <unsigned Codes, unsigned Entries>
constexpr BytesOfCodes<Codes, Entries> bytes_of_codes(unsigned divisor_log2) {
    BytesOfCodes<Codes, Entries> t{};
    for (unsigned i = 0; i < Entries; ++i) {
        const unsigned bits = bf16_bits_of_code(i % Codes, divisor_log2);
        t.low[i] = static_cast<uint8_t>(bits & 0xff);
        t.high[i] = static_cast<uint8_t>(bits >> 8);
    }
    return t;
}

// All codes without a sign.
using CodeBytes = BytesOfCodes<128, 128>;

constexpr CodeBytes make_code_bytes(unsigned divisor_log2) {
    return bytes_of_codes<128, 128>(divisor_log2);
}

// Codes without an exponent, once for each of four 128-bit lanes and twice in each, as byte
// shuffles need them.
using SubnormalBytes = BytesOfCodes<8, 64>;

constexpr SubnormalBytes make_subnormal_bytes(unsigned divisor_log2) {
    return bytes_of_codes<8, 64>(divisor_log2);
}

}  // namespace
}  // namespace baltoro::kernels
