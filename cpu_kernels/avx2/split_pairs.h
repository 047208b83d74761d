#pragma once

#include <immintrin.h>
#include <stdint.h>

namespace baltoro::kernels {
namespace {

// The even and the odd bf16 of a vector.
inline void split_pairs(__m256i pairs, __m256& even, __m256& odd) {
    const __m256i upper = _mm256_set1_epi32(static_cast<int>(0xffff0000u));
    even = _mm256_castsi256_ps(_mm256_slli_epi32(pairs, 16));
    odd = _mm256_castsi256_ps(_mm256_and_si256(pairs, upper));
}

// 32 bf16 as f32: vector i has those at places 4 lane + i.
inline void load_unit_of_bf16(const uint8_t* from, __m256 (&to)[4]) {
    const __m256 a = _mm256_loadu_ps(reinterpret_cast<const float*>(from));
    const __m256 b = _mm256_loadu_ps(reinterpret_cast<const float*>(from + 32));
    const __m256i even = _mm256_castps_si256(_mm256_shuffle_ps(a, b, 0x88));
    const __m256i odd = _mm256_castps_si256(_mm256_shuffle_ps(a, b, 0xdd));
    split_pairs(_mm256_permute4x64_epi64(even, 0xd8), to[0], to[1]);
    split_pairs(_mm256_permute4x64_epi64(odd, 0xd8), to[2], to[3]);
}

}  // namespace
}  // namespace baltoro::kernels
