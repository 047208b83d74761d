#pragma once

#include <immintrin.h>

#include "cpu_kernels/kernels.h"

namespace baltoro::kernels {
namespace {

// Where a product's sums go: RowsProduct and PanelsProduct say it in the same words.
template <class Product>
inline void put_sums(const Product& a, int r, int i, __mmask16 lanes, __m512 sum) {
    float* dst = a.dst + (a.gain && a.dst_row ? a.dst_row[r] : r) * a.dst_stride + i;
    if (a.gain)
        sum = _mm512_add_ps(_mm512_maskz_loadu_ps(lanes, dst),
                            _mm512_mul_ps(_mm512_set1_ps(a.gain[r]), sum));
    _mm512_mask_storeu_ps(dst, lanes, sum);
}

}  // namespace
}  // namespace baltoro::kernels
