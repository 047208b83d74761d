#pragma once

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

#include "cpu_kernels/kernels.h"

// Loading of weights as bf16 vectors, 64 at a time, for files compiled for AVX-512 with VBMI and
// BF16.

namespace baltoro::kernels {
namespace {

// 64 consecutive weights: elements 0-31 and 32-63.
struct Weights64 {
    __m512bh low;
    __m512bh high;
};

// The bf16 halves of all 128 e4m3 magnitudes, for byte look-ups. Every code is exact in bf16,
// subnormals included (they are normal there, so VDPBF16PS does not flush them); 0x7f is NaN.
struct alignas(64) E4m3Tables {
    uint8_t low[128];
    uint8_t high[128];
};

constexpr E4m3Tables make_e4m3_tables() {
    E4m3Tables tables{};
    for (int code = 0; code < 128; code++) {
        const int exponent = code >> 3;
        const int mantissa = code & 7;
        int bits = ((exponent + 120) << 7) | (mantissa << 4);
        if (exponent == 0) {
            // mantissa x 2^-9, normalised: the leading bit's place decides the exponent.
            const int place = mantissa >= 4 ? 2 : mantissa >= 2 ? 1 : 0;
            bits = mantissa == 0 ? 0 : ((118 + place) << 7) | ((mantissa << (7 - place)) & 0x7f);
        }
        if (code == 127) bits = 0x7fc0;
        tables.low[code] = static_cast<uint8_t>(bits & 0xff);
        tables.high[code] = static_cast<uint8_t>(bits >> 8);
    }
    return tables;
}

constexpr E4m3Tables kE4m3Tables = make_e4m3_tables();

// The look-up tables in registers.
class E4m3Decoder {
  public:
    E4m3Decoder() noexcept
        : low0_(_mm512_load_si512(kE4m3Tables.low)),
          low1_(_mm512_load_si512(kE4m3Tables.low + 64)),
          high0_(_mm512_load_si512(kE4m3Tables.high)),
          high1_(_mm512_load_si512(kE4m3Tables.high + 64)),
          order_(_mm512_setr_epi64(0, 4, 1, 5, 2, 6, 3, 7)) {}

    Weights64 decode(__m512i codes) const noexcept {
        // Unpacking works within 128-bit lanes; this order makes its results consecutive.
        codes = _mm512_permutexvar_epi64(order_, codes);
        const __m512i low = _mm512_permutex2var_epi8(low0_, codes, low1_);
        const __m512i magnitude = _mm512_permutex2var_epi8(high0_, codes, high1_);
        // magnitude | (codes & 0x80)
        const __m512i high = _mm512_ternarylogic_epi32(
            magnitude, codes, _mm512_set1_epi8(static_cast<char>(0x80)), 0xf8);
        return {reinterpret_cast<__m512bh>(_mm512_unpacklo_epi8(low, high)),
                reinterpret_cast<__m512bh>(_mm512_unpackhi_epi8(low, high))};
    }

  private:
    __m512i low0_;
    __m512i low1_;
    __m512i high0_;
    __m512i high1_;
    __m512i order_;
};

__mmask32 mask32(int n) noexcept {
    return n >= 32 ? 0xffffffffu : n <= 0 ? 0u : (1u << n) - 1u;
}
__mmask64 mask64(int n) noexcept {
    return n >= 64 ? ~0ull : n <= 0 ? 0ull : (1ull << n) - 1ull;
}

// 64 bf16 values, of which the first n lie in memory; the others are zero.
Weights64 load_bf16(const bf16_t* at, int n) noexcept {
    return {reinterpret_cast<__m512bh>(_mm512_maskz_loadu_epi16(mask32(n), at)),
            reinterpret_cast<__m512bh>(
                _mm512_maskz_loadu_epi16(mask32(n - 32), at + (n > 32 ? 32 : 0)))};
}

// How the two formats load; `prefetch` is in bytes ahead of the load.
struct Fp8Loader {
    E4m3Decoder decoder;
    static constexpr bool kHasScales = true;
    static constexpr int kElementBytes = 1;

    Weights64 load(const char* at) const noexcept { return decoder.decode(_mm512_loadu_si512(at)); }
    Weights64 load(const char* at, int n) const noexcept {
        return decoder.decode(_mm512_maskz_loadu_epi8(mask64(n), at));
    }
};

struct Bf16Loader {
    static constexpr bool kHasScales = false;
    static constexpr int kElementBytes = 2;

    Weights64 load(const char* at) const noexcept {
        return {reinterpret_cast<__m512bh>(_mm512_loadu_si512(at)),
                reinterpret_cast<__m512bh>(_mm512_loadu_si512(at + 64))};
    }
    Weights64 load(const char* at, int n) const noexcept {
        return load_bf16(reinterpret_cast<const bf16_t*>(at), n);
    }
};

template <typename Loader>
const char* weight_row(const Weight& w, int i) noexcept {
    return static_cast<const char*>(w.data) + i * w.stride * Loader::kElementBytes;
}

const float* scale_row(const Weight& w, int i) noexcept {
    const ptrdiff_t blocks_per_row = (w.k + kScaleBlock - 1) / kScaleBlock;
    return w.scale + (i / kScaleBlock) * blocks_per_row;
}

}  // namespace
}  // namespace baltoro::kernels
