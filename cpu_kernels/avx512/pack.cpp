#include <immintrin.h>

#include "cpu_kernels/avx512/kernels.h"
#include "cpu_kernels/avx512/transpose.h"
#include "cpu_kernels/avx512/vector_math.h"

namespace baltoro::kernels::avx512 {
// 32 columns of 16 rows at a time: a pair of bf16 is one 32-bit element.
void pack_panel(const PackPanel& a) noexcept {
    for (int j = 0; j < padded_depth(a.k); j += kPanelDepth) {
        __m512i v[kPanelRows];
        for (int r = 0; r < kPanelRows; ++r) {
            const bf16_t* x = r < a.n_rows ? a.x + (a.row ? a.row[r] : r) * a.x_stride : nullptr;
            v[r] = x ? _mm512_maskz_loadu_epi16(first_lanes32(a.k - j), x + j)
                     : _mm512_setzero_si512();
        }
        transpose(v);
        for (int pair = 0; pair < kPanelDepth / 2; ++pair)
            _mm512_storeu_si512(a.panel + (j / 2 + pair) * 2 * kPanelRows, v[pair]);
    }
}

}  // namespace baltoro::kernels::avx512
