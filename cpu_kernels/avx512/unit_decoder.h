#pragma once

#include <immintrin.h>
#include <stdint.h>

#include "cpu_kernels/code_bytes.h"

namespace baltoro::kernels {
namespace {

// The even and the odd bf16 of a vector.
inline void split_pairs(__m512i pairs, __m512& even, __m512& odd) {
    const __m512i upper = _mm512_set1_epi32(static_cast<int>(0xffff0000u));
    even = _mm512_castsi512_ps(_mm512_slli_epi32(pairs, 16));
    odd = _mm512_castsi512_ps(_mm512_and_si512(pairs, upper));
}

// 64 bf16 in the order in which the decoder leaves 64 codes: unpacking bytes takes the first and
// then the second eight of every 16.
inline void load_unit_of_bf16(const uint8_t* from, __m512 (&to)[4]) {
    const __m512i v0 = _mm512_loadu_si512(from);
    const __m512i v1 = _mm512_loadu_si512(from + 64);
    const __m512i even = _mm512_setr_epi64(0, 1, 4, 5, 8, 9, 12, 13);
    const __m512i odd = _mm512_setr_epi64(2, 3, 6, 7, 10, 11, 14, 15);
    split_pairs(_mm512_permutex2var_epi64(v0, even, v1), to[0], to[1]);
    split_pairs(_mm512_permutex2var_epi64(v0, odd, v1), to[2], to[3]);
}

constexpr SubnormalBytes kSubnormals = make_subnormal_bytes(8);

// 64 e4m3 codes -> f32 / 256, exact for every code. s eeee mmm moved into a bf16 whose upper
// exponent bits are 0111 is the value / 256; that fails for codes without an exponent and for NaN,
// and 64 codes without either, nearly all there are, skip their part.
struct UnitDecoder {
    __m512i kept = _mm512_set1_epi16(static_cast<short>(0x87f0));
    __m512i exponent = _mm512_set1_epi16(0x3800);
    __m512i first_normal = _mm512_set1_epi8(2 * 8);
    __m512i n_normals = _mm512_set1_epi8(static_cast<char>(2 * (127 - 8)));

    void operator()(__m512i codes, __m512 (&to)[4]) const {
        const __m512i zero = _mm512_setzero_si512();
        __m512i first = bf16_of(_mm512_unpacklo_epi8(zero, codes));
        __m512i second = bf16_of(_mm512_unpackhi_epi8(zero, codes));
        const __m512i magnitude = _mm512_sub_epi8(_mm512_add_epi8(codes, codes), first_normal);
        const __mmask64 special = _mm512_cmpge_epu8_mask(magnitude, n_normals);
        if (__builtin_expect(special != 0, 0)) decode_special(codes, special, first, second);
        split_pairs(first, to[0], to[1]);
        split_pairs(second, to[2], to[3]);
    }

    // Of codes in the upper bytes of 16-bit lanes.
    __m512i bf16_of(__m512i codes) const {
        constexpr int kBothOrThird = 0xea;  // (a & b) | c
        return _mm512_ternarylogic_epi32(_mm512_srai_epi16(codes, 4), kept, exponent, kBothOrThird);
    }

    static void decode_special(__m512i codes, __mmask64 special, __m512i& first, __m512i& second) {
        const __m512i sign = _mm512_set1_epi8(static_cast<char>(0x80));
        const __m512i mantissa = _mm512_and_si512(codes, _mm512_set1_epi8(7));
        const __mmask64 nan = _mm512_cmpeq_epi8_mask(_mm512_or_si512(codes, sign),
                                                     _mm512_set1_epi8(static_cast<char>(0xff)));
        __m512i low = _mm512_shuffle_epi8(_mm512_load_si512(kSubnormals.low), mantissa);
        __m512i high = _mm512_shuffle_epi8(_mm512_load_si512(kSubnormals.high), mantissa);
        low = _mm512_mask_mov_epi8(low, nan, _mm512_set1_epi8(static_cast<char>(0xc0)));
        high = _mm512_mask_mov_epi8(high, nan, _mm512_set1_epi8(0x7f));
        high = _mm512_or_si512(high, _mm512_and_si512(codes, sign));
        const __m512i all = _mm512_movm_epi8(special);
        first = _mm512_mask_mov_epi16(first, _mm512_movepi16_mask(_mm512_unpacklo_epi8(all, all)),
                                      _mm512_unpacklo_epi8(low, high));
        second = _mm512_mask_mov_epi16(second, _mm512_movepi16_mask(_mm512_unpackhi_epi8(all, all)),
                                       _mm512_unpackhi_epi8(low, high));
    }
};

}  // namespace
}  // namespace baltoro::kernels
