#pragma once

#include <immintrin.h>

namespace baltoro::kernels {
namespace {

// The even and the odd bf16 of a vector.
inline void split_pairs(__m256i pairs, __m256& even, __m256& odd) {
    const __m256i upper = _mm256_set1_epi32(static_cast<int>(0xffff0000u));
    even = _mm256_castsi256_ps(_mm256_slli_epi32(pairs, 16));
    odd = _mm256_castsi256_ps(_mm256_and_si256(pairs, upper));
}

}  // namespace
}  // namespace baltoro::kernels
