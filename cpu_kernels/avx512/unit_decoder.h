#pragma once

#include <immintrin.h>
#include <stdint.h>

#include "cpu_kernels/kernels.h"

namespace baltoro::kernels {
namespace {

constexpr int kUnit = 64;  // weights that are decoded together

// The even and the odd bf16 of a vector.
inline void split_pairs(__m512i pairs, __m512& even, __m512& odd) {
    const __m512i upper = _mm512_set1_epi32(static_cast<int>(0xffff0000u));
    even = _mm512_castsi512_ps(_mm512_slli_epi32(pairs, 16));
    odd = _mm512_castsi512_ps(_mm512_and_si512(pairs, upper));
}

// Vector i of `to` gets those at places 4 lane + i of 64 bf16.
inline void split_quads(__m512i first, __m512i second, __m512 (&to)[4]) {
    const __m512i even =
        _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    const __m512i odd = _mm512_add_epi32(even, _mm512_set1_epi32(1));
    split_pairs(_mm512_permutex2var_epi32(first, even, second), to[0], to[1]);
    split_pairs(_mm512_permutex2var_epi32(first, odd, second), to[2], to[3]);
}

// A unit of weights as f32 in the order of split_quads; e4m3 codes come divided by kFp8Divisor,
// exact for every code. s eeee mmm moved into a bf16 whose upper exponent bits are 0111 is the
// value / 256. That fails for codes without an exponent and for NaN; units without either, nearly
// all there are, skip their part.
template <WeightFormat F>
struct UnitDecoder {
    void operator()(const uint8_t* from, __m512 (&to)[4]) const {
        split_quads(_mm512_loadu_si512(from), _mm512_loadu_si512(from + 64), to);
    }
};

template <>
struct UnitDecoder<WeightFormat::fp8_block> {
    __m512i kept = _mm512_set1_epi16(static_cast<short>(0x87f0));
    __m512i exponent = _mm512_set1_epi16(0x3800);
    __m512i first_normal = _mm512_set1_epi8(2 * 8);
    __m512i n_normals = _mm512_set1_epi8(static_cast<char>(2 * (127 - 8)));

    void operator()(const uint8_t* from, __m512 (&to)[4]) const {
        const __m512i codes = _mm512_loadu_si512(from);
        split_pairs(bf16_of(_mm512_slli_epi16(codes, 8)), to[0], to[2]);
        split_pairs(bf16_of(codes), to[1], to[3]);
        if (__builtin_expect(has_special(place(codes)), 0))
            for (__m512& v : to)
                v = mend(v);
    }

    // Where codes are among those without a sign: first the normal ones, then the others.
    __m512i place(__m512i codes) const {
        return _mm512_sub_epi8(_mm512_add_epi8(codes, codes), first_normal);
    }

    // Whether a code at one of these places is to be mended.
    bool has_special(__m512i places) const {
        return _mm512_cmpge_epu8_mask(places, n_normals) != 0;
    }

    // Of codes in the upper bytes of 16-bit lanes.
    __m512i bf16_of(__m512i codes) const {
        constexpr int kBothOrThird = 0xea;  // (a & b) | c
        return _mm512_ternarylogic_epi32(_mm512_srai_epi16(codes, 4), kept, exponent, kBothOrThird);
    }

    // A code without an exponent, +-m / 8 * 2^-14, was taken for +-(1 + m / 8) * 2^-15, and NaN for
    // +-480 / 256.
    static __m512 mend(__m512 v) {
        const __m512 sign = _mm512_and_ps(v, _mm512_set1_ps(-0.0f));
        const __m512 magnitude = _mm512_xor_ps(v, sign);
        const __m512 beyond_one = _mm512_sub_ps(v, _mm512_or_ps(sign, _mm512_set1_ps(0x1p-15f)));
        const __mmask16 subnormal =
            _mm512_cmp_ps_mask(magnitude, _mm512_set1_ps(0x1p-14f), _CMP_LT_OQ);
        const __mmask16 nan =
            _mm512_cmp_ps_mask(magnitude, _mm512_set1_ps(480.0f / 256), _CMP_EQ_OQ);
        v = _mm512_mask_add_ps(v, subnormal, beyond_one, beyond_one);
        return _mm512_mask_mov_ps(v, nan, _mm512_set1_ps(__builtin_nanf("")));
    }
};

}  // namespace
}  // namespace baltoro::kernels
