#pragma once

#include <immintrin.h>
#include <stdint.h>

#include "cpu_kernels/avx2/split_pairs.h"
#include "cpu_kernels/code_bytes.h"

namespace baltoro::kernels {
namespace {

constexpr SubnormalBytes kSubnormals = make_subnormal_bytes(8);

// 32 e4m3 codes -> f32 / 256, exact for every code; see avx512/unit_decoder.h.
struct UnitDecoder {
    __m256i kept = _mm256_set1_epi16(static_cast<short>(0x87f0));
    __m256i exponent = _mm256_set1_epi16(0x3800);
    // Twice the code loses the sign; moved by this, normal codes are the lower signed bytes.
    __m256i to_signed = _mm256_set1_epi8(static_cast<char>(128 - 2 * 8));
    __m256i last_normal = _mm256_set1_epi8(static_cast<char>(2 * (127 - 8) - 1 - 128));

    void operator()(__m256i codes, __m256 (&to)[4]) const {
        const __m256i zero = _mm256_setzero_si256();
        __m256i first = bf16_of(_mm256_unpacklo_epi8(zero, codes));
        __m256i second = bf16_of(_mm256_unpackhi_epi8(zero, codes));
        const __m256i magnitude = _mm256_add_epi8(_mm256_add_epi8(codes, codes), to_signed);
        const __m256i special = _mm256_cmpgt_epi8(magnitude, last_normal);
        if (__builtin_expect(_mm256_movemask_epi8(special) != 0, 0))
            decode_special(codes, special, first, second);
        split_pairs(first, to[0], to[1]);
        split_pairs(second, to[2], to[3]);
    }

    // Of codes in the upper bytes of 16-bit lanes.
    __m256i bf16_of(__m256i codes) const {
        return _mm256_or_si256(_mm256_and_si256(_mm256_srai_epi16(codes, 4), kept), exponent);
    }

    static void decode_special(__m256i codes, __m256i special, __m256i& first, __m256i& second) {
        const __m256i sign = _mm256_set1_epi8(static_cast<char>(0x80));
        const __m256i mantissa = _mm256_and_si256(codes, _mm256_set1_epi8(7));
        const __m256i nan = _mm256_cmpeq_epi8(_mm256_or_si256(codes, sign),
                                              _mm256_set1_epi8(static_cast<char>(0xff)));
        __m256i low = _mm256_shuffle_epi8(table(kSubnormals.low), mantissa);
        __m256i high = _mm256_shuffle_epi8(table(kSubnormals.high), mantissa);
        low = _mm256_blendv_epi8(low, _mm256_set1_epi8(static_cast<char>(0xc0)), nan);
        high = _mm256_blendv_epi8(high, _mm256_set1_epi8(0x7f), nan);
        high = _mm256_or_si256(high, _mm256_and_si256(codes, sign));
        first = _mm256_blendv_epi8(first, _mm256_unpacklo_epi8(low, high),
                                   _mm256_unpacklo_epi8(special, special));
        second = _mm256_blendv_epi8(second, _mm256_unpackhi_epi8(low, high),
                                    _mm256_unpackhi_epi8(special, special));
    }

    static __m256i table(const uint8_t* bytes) {
        return _mm256_load_si256(reinterpret_cast<const __m256i*>(bytes));
    }
};

}  // namespace
}  // namespace baltoro::kernels
