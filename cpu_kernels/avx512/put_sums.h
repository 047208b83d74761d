#pragma once

#include <immintrin.h>

#include "cpu_kernels/weight_rows.h"

namespace baltoro::kernels {
namespace {

// Puts or adds the sums of one activation row and the weight rows from i on.
template <class Product>
inline void put_sums(const Product& a, int r, int i, __mmask16 lanes, __m512 sum) {
    float* const dst = result_row(a, r) + i;
    if (a.gain)
        sum = _mm512_add_ps(_mm512_maskz_loadu_ps(lanes, dst),
                            _mm512_mul_ps(_mm512_set1_ps(a.gain[r]), sum));
    _mm512_mask_storeu_ps(dst, lanes, sum);
}

}  // namespace
}  // namespace baltoro::kernels
