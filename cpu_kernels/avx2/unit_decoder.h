#pragma once

#include <immintrin.h>
#include <stdint.h>

#include "cpu_kernels/avx2/split_pairs.h"
#include "cpu_kernels/kernels.h"

namespace baltoro::kernels {
namespace {

// 32 weights as f32 in the order of load_unit_of_bf16; e4m3 codes come divided by kFp8Divisor,
// exact for every code; see avx512/unit_decoder.h.
template <WeightFormat F>
struct UnitDecoder {
    void operator()(const uint8_t* from, __m256 (&to)[4]) const { load_unit_of_bf16(from, to); }
};

template <>
struct UnitDecoder<WeightFormat::fp8_block> {
    __m256i kept = _mm256_set1_epi16(static_cast<short>(0x87f0));
    __m256i exponent = _mm256_set1_epi16(0x3800);
    // Twice the code loses the sign; moved by this, normal codes are the lower signed bytes.
    __m256i to_signed = _mm256_set1_epi8(static_cast<char>(128 - 2 * 8));
    __m256i last_normal = _mm256_set1_epi8(static_cast<char>(2 * (127 - 8) - 1 - 128));

    void operator()(const uint8_t* from, __m256 (&to)[4]) const {
        const __m256i codes = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
        const __m256i magnitude = _mm256_add_epi8(_mm256_add_epi8(codes, codes), to_signed);
        const __m256i special = _mm256_cmpgt_epi8(magnitude, last_normal);
        split_pairs(bf16_of(_mm256_slli_epi16(codes, 8)), to[0], to[2]);
        split_pairs(bf16_of(codes), to[1], to[3]);
        if (__builtin_expect(_mm256_movemask_epi8(special) != 0, 0))
            for (__m256& v : to)
                v = mend(v);
    }

    // Of codes in the upper bytes of 16-bit lanes.
    __m256i bf16_of(__m256i codes) const {
        return _mm256_or_si256(_mm256_and_si256(_mm256_srai_epi16(codes, 4), kept), exponent);
    }

    // A code without an exponent, +-m / 8 * 2^-14, was taken for +-(1 + m / 8) * 2^-15, and NaN for
    // +-480 / 256.
    static __m256 mend(__m256 v) {
        const __m256 sign = _mm256_and_ps(v, _mm256_set1_ps(-0.0f));
        const __m256 magnitude = _mm256_xor_ps(v, sign);
        const __m256 beyond_one = _mm256_sub_ps(v, _mm256_or_ps(sign, _mm256_set1_ps(0x1p-15f)));
        v = _mm256_blendv_ps(v, _mm256_add_ps(beyond_one, beyond_one),
                             _mm256_cmp_ps(magnitude, _mm256_set1_ps(0x1p-14f), _CMP_LT_OQ));
        return _mm256_or_ps(v, _mm256_cmp_ps(magnitude, _mm256_set1_ps(480.0f / 256), _CMP_EQ_OQ));
    }
};

}  // namespace
}  // namespace baltoro::kernels
