#include "cpu_kernels/avx512_bf16/avx512_bf16.h"
#include "cpu_kernels/avx512_bf16/weights.h"

// dst[r, j] += sum_i x[r, i] w[i, j]: 64 columns of up to 4 rows stay in registers while i runs.

namespace baltoro::kernels {
namespace {

constexpr int kBlockRows = 4;
constexpr int kColumns = 64;

struct Columns64 {
    __m512 part[4];
};

Columns64 f32_from(const Weights64& w) noexcept {
    Columns64 columns;
    const __m512i halves[2] = {reinterpret_cast<__m512i>(w.low), reinterpret_cast<__m512i>(w.high)};
    for (int h = 0; h < 2; h++) {
        const __m512i first = _mm512_cvtepu16_epi32(_mm512_castsi512_si256(halves[h]));
        const __m512i second = _mm512_cvtepu16_epi32(_mm512_extracti64x4_epi64(halves[h], 1));
        columns.part[2 * h] = _mm512_castsi512_ps(_mm512_slli_epi32(first, 16));
        columns.part[2 * h + 1] = _mm512_castsi512_ps(_mm512_slli_epi32(second, 16));
    }
    return columns;
}

__mmask16 part_mask(int n, int part) noexcept {
    const int left = n - part * 16;
    return static_cast<__mmask16>(left >= 16 ? 0xffffu : left <= 0 ? 0u : (1u << left) - 1u);
}

// Columns [j, j + n) of R rows; n <= 64.
template <typename Loader, int R>
void column_block(
    const Loader& loader, const TransposedProduct& args, int first_row, int j, int n) noexcept {
    __m512 sum[R][4];
#pragma GCC unroll 4
    for (int r = 0; r < R; r++)
#pragma GCC unroll 4
        for (int p = 0; p < 4; p++) {
            const float* dst = args.dst + (first_row + r) * args.dst_stride + j + p * 16;
            sum[r][p] =
                args.accumulate ? _mm512_maskz_loadu_ps(part_mask(n, p), dst) : _mm512_setzero_ps();
        }
    for (int i = args.range.begin; i < args.range.end; i++) {
        const char* at =
            weight_row<Loader>(args.w, i) + static_cast<ptrdiff_t>(j) * Loader::kElementBytes;
        const Columns64 w = f32_from(n == kColumns ? loader.load(at) : loader.load(at, n));
        const float scale = Loader::kHasScales ? scale_row(args.w, i)[j / kScaleBlock] : 1.0f;
#pragma GCC unroll 4
        for (int r = 0; r < R; r++) {
            const __m512 x = _mm512_set1_ps(
                args.x[(first_row + r) * args.x_stride + i - args.range.begin] * scale);
#pragma GCC unroll 4
            for (int p = 0; p < 4; p++)
                sum[r][p] = _mm512_fmadd_ps(x, w.part[p], sum[r][p]);
        }
    }
#pragma GCC unroll 4
    for (int r = 0; r < R; r++)
#pragma GCC unroll 4
        for (int p = 0; p < 4; p++)
            _mm512_mask_storeu_ps(args.dst + (first_row + r) * args.dst_stride + j + p * 16,
                                  part_mask(n, p), sum[r][p]);
}

template <typename Loader, int R>
void all_columns(const TransposedProduct& args, int first_row) noexcept {
    const Loader loader;
    for (int j = 0; j < args.w.k; j += kColumns)
        column_block<Loader, R>(loader, args, first_row, j,
                                args.w.k - j < kColumns ? args.w.k - j : kColumns);
}

template <typename Loader>
void all_rows(const TransposedProduct& args) noexcept {
    for (int row = 0; row < args.n_rows; row += kBlockRows) {
        switch (args.n_rows - row) {
            case 1:
                all_columns<Loader, 1>(args, row);
                break;
            case 2:
                all_columns<Loader, 2>(args, row);
                break;
            case 3:
                all_columns<Loader, 3>(args, row);
                break;
            default:
                all_columns<Loader, 4>(args, row);
                break;
        }
    }
}

}  // namespace

void transposed_product_avx512_bf16(const TransposedProduct& args) noexcept {
    if (args.w.format == WeightFormat::fp8_block) {
        all_rows<Fp8Loader>(args);
    } else {
        all_rows<Bf16Loader>(args);
    }
}

}  // namespace baltoro::kernels
