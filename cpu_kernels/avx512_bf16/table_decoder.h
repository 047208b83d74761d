#pragma once

#include <immintrin.h>

#include "cpu_kernels/code_bytes.h"
#include "cpu_kernels/kernels.h"
#include "cpu_kernels/weight_rows.h"

namespace baltoro::kernels {
namespace {

constexpr CodeBytes kWeightCodes = make_code_bytes(0);

// 64 weights become bf16 that are stored as eighths in this order, since unpacking takes the first
// and then the second eight of every 16; exact for every code.
constexpr int kEighths[8] = {0, 2, 4, 6, 1, 3, 5, 7};

template <WeightFormat F>
struct TableDecoder {
    void operator()(const uint8_t* from, bf16_t* to) const {
        const __m512i v0 = _mm512_loadu_si512(from);
        const __m512i v1 = _mm512_loadu_si512(from + 64);
        const __m512i even = _mm512_setr_epi64(0, 1, 4, 5, 8, 9, 12, 13);
        const __m512i odd = _mm512_setr_epi64(2, 3, 6, 7, 10, 11, 14, 15);
        _mm512_store_si512(to, _mm512_permutex2var_epi64(v0, even, v1));
        _mm512_store_si512(to + 32, _mm512_permutex2var_epi64(v0, odd, v1));
    }
};

template <>
struct TableDecoder<WeightFormat::fp8_block> {
    __m512i low[2] = {_mm512_load_si512(kWeightCodes.low),
                      _mm512_load_si512(kWeightCodes.low + 64)};
    __m512i high[2] = {_mm512_load_si512(kWeightCodes.high),
                       _mm512_load_si512(kWeightCodes.high + 64)};
    __m512i sign = _mm512_set1_epi8(static_cast<char>(0x80));

    void operator()(const uint8_t* from, bf16_t* to) const {
        constexpr int kBitsOfThird = 0xf8;  // a | (b & c)
        const __m512i codes = _mm512_loadu_si512(from);
        const __m512i l = _mm512_permutex2var_epi8(low[0], codes, low[1]);
        const __m512i h = _mm512_ternarylogic_epi32(
            _mm512_permutex2var_epi8(high[0], codes, high[1]), sign, codes, kBitsOfThird);
        _mm512_store_si512(to, _mm512_unpacklo_epi8(l, h));
        _mm512_store_si512(to + 32, _mm512_unpackhi_epi8(l, h));
    }
};

}  // namespace
}  // namespace baltoro::kernels
