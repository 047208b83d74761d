#pragma once

// Where the totals of the panel kernels go, for the levels with 512-bit vectors.

#include <immintrin.h>

#include "cpu_kernels/avx512/put_sums.h"
#include "cpu_kernels/avx512/transpose.h"
#include "cpu_kernels/avx512/vector_math.h"
#include "cpu_kernels/panel_chunks.h"

namespace baltoro::kernels {
namespace {

struct PanelResults {
    static void put_panel(const PanelsProduct& a,
                          const PanelResult& at,
                          const PanelTotals& total) noexcept {
        for (int first = 0; first < at.n; first += 16) {
            __m512i v[16];
            for (int s = 0; s < 16; ++s)
                v[s] = first + s < kChunk ? _mm512_load_si512(&total[first + s][at.column])
                                          : _mm512_setzero_si512();
            transpose(v);
            for (int r = 0; r < at.n_rows; ++r)
                put_sums(a, at.r0 + r, at.i + first, first_lanes(at.n - first),
                         _mm512_castsi512_ps(v[r]));
        }
    }

    // Of gate[0 .. 1] and up[0 .. 1]; the second may be a missing row. Zeros beyond n_rows.
    static void activate_pair(const TotalsOfRow* gate,
                              const TotalsOfRow* up,
                              int column,
                              int n_rows,
                              bf16_t* pair) noexcept {
        __m512i half[2];
        for (int h = 0; h < 2; ++h)
            half[h] = bf16_bits_ps(_mm512_mul_ps(silu_ps(_mm512_loadu_ps(&gate[h][column])),
                                                 _mm512_loadu_ps(&up[h][column])));
        _mm512_storeu_si512(pair, _mm512_maskz_or_epi32(first_lanes(n_rows), half[0],
                                                        _mm512_slli_epi32(half[1], 16)));
    }
};

}  // namespace
}  // namespace baltoro::kernels
