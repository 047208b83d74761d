#include <immintrin.h>
#include <string.h>

#include "cpu_kernels/avx2/kernels.h"

namespace baltoro::kernels::avx2 {
namespace {

// The first n of 16 bf16, the others 0; null gives zeros.
__m256i load_columns(const bf16_t* from, ptrdiff_t n) {
    if (from && n >= 16) return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
    __m256i v = _mm256_setzero_si256();
    if (from && n > 0) memcpy(&v, from, static_cast<size_t>(n) * sizeof(bf16_t));
    return v;
}

// Transposes 8 x 8 32-bit elements in three rounds of interleaving.
void transpose(__m256i (&v)[8]) {
    __m256i t[8];
    for (int i = 0; i < 8; i += 2) {
        t[i] = _mm256_unpacklo_epi32(v[i], v[i + 1]);
        t[i + 1] = _mm256_unpackhi_epi32(v[i], v[i + 1]);
    }
    for (int i = 0; i < 8; i += 4) {
        v[i] = _mm256_unpacklo_epi64(t[i], t[i + 2]);
        v[i + 1] = _mm256_unpackhi_epi64(t[i], t[i + 2]);
        v[i + 2] = _mm256_unpacklo_epi64(t[i + 1], t[i + 3]);
        v[i + 3] = _mm256_unpackhi_epi64(t[i + 1], t[i + 3]);
    }
    for (int i = 0; i < 4; ++i) {
        t[i] = _mm256_permute2x128_si256(v[i], v[i + 4], 0x20);
        t[i + 4] = _mm256_permute2x128_si256(v[i], v[i + 4], 0x31);
    }
    for (int i = 0; i < 8; ++i)
        v[i] = t[i];
}

}  // namespace

// 16 columns of 8 rows at a time: a pair of bf16 is one 32-bit element.
void pack_panel(const PackPanel& a) noexcept {
    for (int j = 0; j < padded_depth(a.k); j += 16)
        for (int first = 0; first < kPanelRows; first += 8) {
            __m256i v[8];
            for (int s = 0; s < 8; ++s) {
                const int r = first + s;
                const bf16_t* x =
                    r < a.n_rows ? a.x + (a.row ? a.row[r] : r) * a.x_stride : nullptr;
                v[s] = load_columns(x ? x + j : nullptr, a.k - j);
            }
            transpose(v);
            for (int pair = 0; pair < 8; ++pair)
                _mm256_storeu_si256(reinterpret_cast<__m256i*>(
                                        a.panel + (j / 2 + pair) * 2 * kPanelRows + 2 * first),
                                    v[pair]);
        }
}

}  // namespace baltoro::kernels::avx2
