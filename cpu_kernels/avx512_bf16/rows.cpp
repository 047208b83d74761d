#include <immintrin.h>

#include "cpu_kernels/avx512_bf16/decode.h"
#include "cpu_kernels/avx512_bf16/kernels.h"
#include "cpu_kernels/row_groups.h"

namespace baltoro::kernels::avx512_bf16 {
namespace {

inline __m512 multiply_pairs(__m512 sum, __m512i a, __m512i b) {
    return _mm512_dpbf16_ps(sum, reinterpret_cast<__m512bh>(a), reinterpret_cast<__m512bh>(b));
}

struct Level {
    static constexpr bool kStreamsShortRows = true;
    static constexpr int slice(int) { return kGroup; }

    static void gate_times_up(const float* gate, const float* up, bf16_t* dst, int n) noexcept {
        silu_times(gate, up, dst, n);
    }

    // sums[s0 + s][r0 + r] of W weight rows and R activation rows. Each has its own accumulator of
    // one scale block, which enters the total with the block's scale.
    template <WeightFormat F, int W, int R>
    static void dots(
        const WeightRows& rows, int s0, const ActivationRows& x, GroupSums& sums, int r0) noexcept {
        const Decoder decode;
        __m512 total[W][R];
        __m512 block[W][R];
        for (int s = 0; s < W; ++s)
            for (int r = 0; r < R; ++r)
                total[s][r] = _mm512_setzero_ps();

        const auto add_block = [&](ptrdiff_t j) {
            for (int s = 0; s < W; ++s) {
                const float* scale = rows.scale[s0 + s];
                for (int r = 0; r < R; ++r)
                    total[s][r] =
                        F == WeightFormat::bf16
                            ? _mm512_add_ps(total[s][r], block[s][r])
                            : _mm512_fmadd_ps(block[s][r], _mm512_set1_ps(scale[j / kScaleBlock]),
                                              total[s][r]);
            }
        };

        ptrdiff_t j = 0;
        for (; j + kScaleBlock <= rows.k; j += kScaleBlock) {
            for (int s = 0; s < W; ++s) {
                if (W == 1 && is_short_row<F>(rows.k))
                    prefetch_stream<F>(rows.row[s0 + s], j);
                else
                    prefetch_block<F>(rows.row[s0 + s], rows.next[s0 + s], s & 1, j, rows.k);
                for (int r = 0; r < R; ++r)
                    block[s][r] = _mm512_setzero_ps();
            }
            for (int half = 0; half < kScaleBlock; half += 64)
                for (int s = 0; s < W; ++s) {
                    const Bf16x64 w = load_weights<F>(decode, rows.row[s0 + s], j + half);
                    for (int r = 0; r < R; ++r) {
                        const bf16_t* at = x.x + r * x.stride + j + half;
                        block[s][r] = multiply_pairs(block[s][r], _mm512_loadu_si512(at), w.first);
                        block[s][r] =
                            multiply_pairs(block[s][r], _mm512_loadu_si512(at + 32), w.second);
                    }
                }
            add_block(j);
        }
        if (j < rows.k) {
            for (int s = 0; s < W; ++s)
                for (int r = 0; r < R; ++r)
                    block[s][r] = _mm512_setzero_ps();
            for (ptrdiff_t at = j; at < rows.k; at += 64) {
                const ptrdiff_t n = rows.k - at;
                for (int s = 0; s < W; ++s) {
                    const Bf16x64 w = load_weights<F>(decode, rows.row[s0 + s], at, n);
                    for (int r = 0; r < R; ++r) {
                        const bf16_t* from = x.x + r * x.stride + at;
                        const __m512i x0 = _mm512_maskz_loadu_epi16(first_lanes32(n), from);
                        const __m512i x1 =
                            _mm512_maskz_loadu_epi16(first_lanes32(n - 32), from + 32);
                        block[s][r] = multiply_pairs(block[s][r], x0, w.first);
                        block[s][r] = multiply_pairs(block[s][r], x1, w.second);
                    }
                }
            }
            add_block(j);
        }
        for (int s = 0; s < W; ++s)
            for (int r = 0; r < R; ++r)
                sums[s0 + s][r0 + r] = _mm512_reduce_add_ps(total[s][r]);
    }
};

}  // namespace

void rows_product(const RowsProduct& a) noexcept {
    rows_product_of<Level>(a);
}

void rows_gate_up(const RowsGateUp& a) noexcept {
    rows_gate_up_of<Level>(a);
}

}  // namespace baltoro::kernels::avx512_bf16
