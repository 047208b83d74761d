#pragma once

#include <immintrin.h>
#include <stdint.h>

#include "cpu_kernels/avx2/split_pairs.h"
#include "cpu_kernels/kernels.h"

namespace baltoro::kernels {
namespace {

constexpr int kLanes = 8;
constexpr int kUnit = 4 * kLanes;  // weights that are decoded together

// A unit of weights of one row: load, then widen each half to two vectors. bf16 comes as the even
// and the odd ones of 16.
template <WeightFormat F>
struct Unit {
    __m256i half[2];

    void load(const uint8_t* from) {
        half[0] = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
        half[1] = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from + 32));
    }
    void widen(int h, __m256& first, __m256& second) const { split_pairs(half[h], first, second); }
    static __m256i larger_code(__m256i largest) { return largest; }
};

// e4m3 comes divided by kShiftDivisor: a code's bits moved to their places in f32, whose exponent
// counts from 127 instead of 7. Codes without an exponent become subnormal f32, as exact as the
// others as long as the thread does not flush them (MXCSR as every thread begins with it). NaN
// codes become numbers; larger_code() tells whether there were any. Of 32 codes the first half has
// those at 0, 4, 8, ... and 2, 6, ..., the second 1, 5, ... and 3, 7, ...
template <>
struct Unit<WeightFormat::fp8_block> {
    __m256i codes;

    void load(const uint8_t* from) {
        codes = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
    }
    void widen(int h, __m256& first, __m256& second) const {
        const __m256i kept = _mm256_set1_epi16(static_cast<short>(0x87f0));
        const __m256i upper = h == 0 ? _mm256_slli_epi16(codes, 8) : codes;
        split_pairs(_mm256_and_si256(_mm256_srai_epi16(upper, 4), kept), first, second);
    }
    // The larger of each and twice a code, its sign left out.
    __m256i larger_code(__m256i largest) const {
        return _mm256_max_epu8(largest, _mm256_add_epi8(codes, codes));
    }
};

// Vector V of the four of a unit, by itself: more instructions, but no registers between.
template <WeightFormat F, int V>
inline __m256 widen_vector(const uint8_t* from) {
    if constexpr (F == WeightFormat::bf16) {
        __m256 pair[2];
        split_pairs(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from + V / 2 * 32)),
                    pair[0], pair[1]);
        return pair[V % 2];
    } else {
        constexpr int kByte = V == 1 ? 2 : V == 2 ? 1 : V;
        __m256i codes = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
        codes = _mm256_srai_epi32(_mm256_slli_epi32(codes, 24 - 8 * kByte), 4);
        const __m256i kept = _mm256_set1_epi32(static_cast<int>(0x87f00000u));
        return _mm256_castsi256_ps(_mm256_and_si256(codes, kept));
    }
}

constexpr float kShiftDivisor = 0x1p120f;

inline bool has_nan_code(__m256i largest) {
    const __m256i nan = _mm256_set1_epi8(static_cast<char>(2 * 0x7f));
    return _mm256_movemask_epi8(_mm256_cmpeq_epi8(largest, nan)) != 0;
}

}  // namespace
}  // namespace baltoro::kernels
