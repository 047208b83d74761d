#include <immintrin.h>

#include "cpu_kernels/avx512/avx512.h"

// Router logits and panel packing.

namespace baltoro::kernels {
namespace {

constexpr int kBlockRows = 4;

__mmask16 mask_of(int n) noexcept {
    return static_cast<__mmask16>(n >= 16 ? 0xffffu : (1u << n) - 1u);
}

__m512 weights_at(const RouterProduct& args, int i, int j, __mmask16 mask) noexcept {
    const ptrdiff_t at = static_cast<ptrdiff_t>(i) * args.k + j;
    if (args.w_f32 != nullptr) return _mm512_maskz_loadu_ps(mask, args.w_f32 + at);
    const __m256i bits = _mm256_maskz_loadu_epi16(mask, args.w_bf16 + at);
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16));
}

// Two chains per row, for every row count alike.
template <int R>
void rows_of(const RouterProduct& args, int first_row) noexcept {
    for (int i = args.range.begin; i < args.range.end; i++) {
        __m512 sum[R][2];
        for (int r = 0; r < R; r++)
            sum[r][0] = sum[r][1] = _mm512_setzero_ps();
        for (int j = 0; j < args.k; j += 16) {
            const __mmask16 mask = mask_of(args.k - j);
            const __m512 w = weights_at(args, i, j, mask);
            for (int r = 0; r < R; r++) {
                const float* x = args.x + static_cast<ptrdiff_t>(first_row + r) * args.k + j;
                __m512& chain = sum[r][j / 16 % 2];
                chain = _mm512_fmadd_ps(w, _mm512_maskz_loadu_ps(mask, x), chain);
            }
        }
        for (int r = 0; r < R; r++)
            args.dst[static_cast<ptrdiff_t>(first_row + r) * args.n + i] =
                _mm512_reduce_add_ps(_mm512_add_ps(sum[r][0], sum[r][1]));
    }
}

}  // namespace

void router_product_avx512(const RouterProduct& args) noexcept {
    int row = 0;
    for (; row + kBlockRows <= args.n_rows; row += kBlockRows)
        rows_of<kBlockRows>(args, row);
    for (; row < args.n_rows; row++)
        rows_of<1>(args, row);
}

// A pair of one row is 4 bytes, so 16 rows x 16 pairs are a 16 x 16 transpose of dwords, done
// through strided 64-byte row loads and a gather from the cache line buffer.
void pack_panel_avx512(const PackPanel& args) noexcept {
    alignas(64) uint32_t lines[kPanelRows][16];
    const __m512i offsets =
        _mm512_mullo_epi32(_mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15),
                           _mm512_set1_epi32(16));
    for (int j = 0; j < padded_depth(args.k); j += 32) {
        const int left = args.k - j;
        const __mmask32 mask = left >= 32 ? 0xffffffffu : left <= 0 ? 0u : (1u << left) - 1u;
        for (int r = 0; r < kPanelRows; r++) {
            __m512i row = _mm512_setzero_si512();
            if (r < args.n_rows)
                row = _mm512_maskz_loadu_epi16(
                    mask, args.x + (args.row == nullptr ? r : args.row[r]) * args.x_stride + j);
            _mm512_store_si512(lines[r], row);
        }
        for (int pair = 0; pair < 16; pair++)
            _mm512_storeu_si512(args.panel + static_cast<ptrdiff_t>(j + 2 * pair) * kPanelRows,
                                _mm512_i32gather_epi32(offsets, &lines[0][0] + pair, 4));
    }
}

}  // namespace baltoro::kernels
