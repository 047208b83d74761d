// Panel kernels in f32: chunks of weight rows are decoded once and multiplied with all panels.

#include <immintrin.h>

#include "cpu_kernels/avx2/kernels.h"
#include "cpu_kernels/avx2/unit_decoder.h"
#include "cpu_kernels/avx2/vector_math.h"
#include "cpu_kernels/code_bytes.h"
#include "cpu_kernels/panel_chunks.h"

namespace baltoro::kernels::avx2 {
namespace {

constexpr int kLanes = 8;
constexpr int kUnitWeights = 32;
// Weight rows whose sums with a panel, two vectors each, fit the registers.
constexpr int kTileRows = 6;

template <WeightFormat F>
struct FloatDecoder {
    UnitDecoder<F> decode;

    void operator()(const uint8_t* from, float* to) const {
        __m256 w[4];
        decode(from, w);
        for (int i = 0; i < 4; ++i)
            _mm256_store_ps(to + kLanes * i, w[i]);
    }
};

// A panel at one scale block, its columns in the order of decoded weights.
using WidePanel = float[kScaleBlock][kPanelRows];

void widen_panel(const bf16_t* panel, int depth, WidePanel& to) noexcept {
    for (int j = 0; j < depth; j += 2) {
        const int at = j / kUnitWeights * kUnitWeights + j % 4 * kLanes + j % kUnitWeights / 4;
        for (int first = 0; first < kPanelRows; first += kLanes) {
            __m256 even;
            __m256 odd;
            split_pairs(_mm256_loadu_si256(
                            reinterpret_cast<const __m256i*>(panel + j * kPanelRows + 2 * first)),
                        even, odd);
            _mm256_store_ps(&to[at][first], even);
            _mm256_store_ps(&to[at + kLanes][first], odd);
        }
    }
}

struct Level {
    static constexpr int kUnit = kUnitWeights;
    static constexpr float kDivisor = kFp8Divisor;
    using Element = float;
    template <WeightFormat F>
    using Decoder = FloatDecoder<F>;
    using Block = DecodedBlock<Level>;

    static void multiply(const Block& block,
                         const PanelGroup& panels,
                         PanelTotals& totals) noexcept {
        alignas(64) WidePanel x;
        for (int p = 0; p < panels.n_panels; ++p) {
            widen_panel(panels.first + p * panels.panel_elements, panels.depth, x);
            for (int s = 0; s < kChunk; s += kTileRows)
                multiply_tile(block, s, x, panels.depth, panels.total + p * kPanelRows, totals);
        }
    }

    // kTileRows weight rows from s0 on x a panel in registers, which the compiler leaves only if
    // every loop is unrolled; lane = activation row.
    static void multiply_tile(const Block& block,
                              int s0,
                              const WidePanel& x,
                              int depth,
                              int column,
                              PanelTotals& totals) noexcept {
        __m256 sum[kTileRows][2];
#pragma GCC unroll 6
        for (int s = 0; s < kTileRows; ++s)
            sum[s][0] = sum[s][1] = _mm256_setzero_ps();
        for (int j = 0; j < depth; ++j) {
            const __m256 x0 = _mm256_load_ps(&x[j][0]);
            const __m256 x1 = _mm256_load_ps(&x[j][kLanes]);
#pragma GCC unroll 6
            for (int s = 0; s < kTileRows; ++s) {
                const __m256 w = _mm256_broadcast_ss(&block.weight[s0 + s][j]);
                sum[s][0] = _mm256_fmadd_ps(w, x0, sum[s][0]);
                sum[s][1] = _mm256_fmadd_ps(w, x1, sum[s][1]);
            }
        }
#pragma GCC unroll 6
        for (int s = 0; s < kTileRows; ++s) {
            const __m256 scale = _mm256_set1_ps(block.scale[s0 + s]);
#pragma GCC unroll 2
            for (int h = 0; h < 2; ++h) {
                float* const total = &totals[s0 + s][column + h * kLanes];
                _mm256_store_ps(total, _mm256_fmadd_ps(sum[s][h], scale, _mm256_load_ps(total)));
            }
        }
    }

    static void put_panel(const PanelsProduct& a,
                          const PanelResult& at,
                          const PanelTotals& total) noexcept {
        for (int r = 0; r < at.n_rows; ++r) {
            float* const dst = result_row(a, at.r0 + r) + at.i;
            for (int s = 0; s < at.n; ++s) {
                const float sum = total[s][at.column + r];
                dst[s] = a.gain ? dst[s] + a.gain[at.r0 + r] * sum : sum;
            }
        }
    }

    // Of gate[0 .. 1] and up[0 .. 1]; the second may be a missing row. Zeros beyond n_rows.
    static void activate_pair(const TotalsOfRow* gate,
                              const TotalsOfRow* up,
                              int column,
                              int n_rows,
                              bf16_t* pair) noexcept {
        for (int first = 0; first < kPanelRows; first += kLanes) {
            __m128i half[2];
            for (int h = 0; h < 2; ++h) {
                const __m256 z = _mm256_loadu_ps(&gate[h][column + first]);
                const __m256 value =
                    _mm256_mul_ps(silu_ps(z), _mm256_loadu_ps(&up[h][column + first]));
                bf16_t bits[kLanes];
                store_first(bits, kLanes, value);
                memcpy(&half[h], bits, sizeof bits);
            }
            const __m256i lanes = first_lanes(n_rows - first);
            const __m256i both = _mm256_set_m128i(_mm_unpackhi_epi16(half[0], half[1]),
                                                  _mm_unpacklo_epi16(half[0], half[1]));
            _mm256_storeu_si256(reinterpret_cast<__m256i*>(pair + 2 * first),
                                _mm256_and_si256(both, lanes));
        }
    }
};

}  // namespace

void panels_product(const PanelsProduct& a) noexcept {
    panels_product_of<Level>(a);
}

void panels_gate_up(const PanelsGateUp& a) noexcept {
    panels_gate_up_of<Level>(a);
}

size_t panel_scratch_bytes(int, int) noexcept {
    return sizeof(PanelScratch<Level>);
}

}  // namespace baltoro::kernels::avx2
