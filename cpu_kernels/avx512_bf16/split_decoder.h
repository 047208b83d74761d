#pragma once

#include <immintrin.h>

#include "cpu_kernels/code_bytes.h"
#include "cpu_kernels/kernels.h"

namespace baltoro::kernels {
namespace {

constexpr int kUnit = 64;  // weights that are decoded together

constexpr CodeBytes kCodeBytes = make_code_bytes(8);

// N units of each of W weight rows as bf16, each as two vectors: of e4m3 codes those at even and
// those at odd places, divided by kFp8Divisor and exact for every code; of bf16 weights the first
// and the second half. s eeee mmm moved into a bf16 whose upper exponent bits are 0111 is the value
// / 256. That fails for codes without an exponent and for NaN; where any unit has one, a table
// decodes them all.
template <WeightFormat F>
struct SplitDecoder {
    template <int N, int W>
    void operator()(const uint8_t* at, ptrdiff_t row_bytes, __m512i (&to)[N][W][2]) const {
        for (int u = 0; u < N; ++u)
            for (int s = 0; s < W; ++s)
                for (int h = 0; h < 2; ++h)
                    to[u][s][h] = _mm512_loadu_si512(at + s * row_bytes + 128 * u + 64 * h);
    }
};

template <>
struct SplitDecoder<WeightFormat::fp8_block> {
    __m512i kept = _mm512_set1_epi16(static_cast<short>(0x87f0));
    __m512i exponent = _mm512_set1_epi16(0x3800);
    __m512i first_normal = _mm512_set1_epi8(2 * 8);
    __m512i n_normals = _mm512_set1_epi8(static_cast<char>(2 * (127 - 8)));

    template <int N, int W>
    __attribute__((always_inline)) void operator()(const uint8_t* at,
                                                   ptrdiff_t row_bytes,
                                                   __m512i (&to)[N][W][2]) const {
        __m512i largest = _mm512_setzero_si512();
#pragma GCC unroll 2
        for (int u = 0; u < N; ++u)
#pragma GCC unroll 4
            for (int s = 0; s < W; ++s) {
                const __m512i codes = _mm512_loadu_si512(at + s * row_bytes + kUnit * u);
                const __m512i place = _mm512_sub_epi8(_mm512_add_epi8(codes, codes), first_normal);
                largest = u + s == 0 ? place : _mm512_max_epu8(largest, place);
                to[u][s][0] = bf16_of(_mm512_slli_epi16(codes, 8));
                to[u][s][1] = bf16_of(codes);
            }
        if (__builtin_expect(_mm512_cmpge_epu8_mask(largest, n_normals) != 0, 0))
            for (int u = 0; u < N; ++u)
                for (int s = 0; s < W; ++s)
                    look_up(_mm512_loadu_si512(at + s * row_bytes + kUnit * u), to[u][s]);
    }

    // Of codes in the upper bytes of 16-bit lanes.
    __m512i bf16_of(__m512i codes) const {
        constexpr int kBothOrThird = 0xea;  // (a & b) | c
        return _mm512_ternarylogic_epi32(_mm512_srai_epi16(codes, 4), kept, exponent, kBothOrThird);
    }

    static void look_up(__m512i codes, __m512i (&to)[2]) {
        constexpr int kBitsOfThird = 0xca;  // a ? b : c, bit by bit
        const __m512i low = bytes_at(kCodeBytes.low, codes);
        const __m512i high = _mm512_ternarylogic_epi32(
            _mm512_set1_epi8(0x7f), bytes_at(kCodeBytes.high, codes), codes, kBitsOfThird);
        const __m512i lower = _mm512_set1_epi16(0xff);
        to[0] = _mm512_ternarylogic_epi32(lower, low, _mm512_slli_epi16(high, 8), kBitsOfThird);
        to[1] = _mm512_ternarylogic_epi32(lower, _mm512_srli_epi16(low, 8), high, kBitsOfThird);
    }

    static __m512i bytes_at(const uint8_t (&table)[128], __m512i index) {
        return _mm512_permutex2var_epi8(_mm512_load_si512(table), index,
                                        _mm512_load_si512(table + 64));
    }
};

}  // namespace
}  // namespace baltoro::kernels
