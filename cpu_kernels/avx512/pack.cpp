#include <immintrin.h>

#include "cpu_kernels/avx512/kernels.h"
#include "cpu_kernels/avx512/vector_math.h"

namespace baltoro::kernels::avx512 {
namespace {

// Transposes 16 x 16 32-bit elements in four rounds of interleaving.
void transpose(__m512i (&v)[16]) {
    __m512i t[16];
    for (int i = 0; i < 16; i += 2) {
        t[i] = _mm512_unpacklo_epi32(v[i], v[i + 1]);
        t[i + 1] = _mm512_unpackhi_epi32(v[i], v[i + 1]);
    }
    for (int i = 0; i < 16; i += 4) {
        v[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
        v[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
        v[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
        v[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
    }
    for (int i = 0; i < 4; ++i) {
        t[i] = _mm512_shuffle_i32x4(v[i], v[i + 4], 0x88);
        t[i + 4] = _mm512_shuffle_i32x4(v[i], v[i + 4], 0xdd);
        t[i + 8] = _mm512_shuffle_i32x4(v[i + 8], v[i + 12], 0x88);
        t[i + 12] = _mm512_shuffle_i32x4(v[i + 8], v[i + 12], 0xdd);
    }
    for (int i = 0; i < 8; ++i) {
        v[i] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0x88);
        v[i + 8] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0xdd);
    }
}

}  // namespace

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
