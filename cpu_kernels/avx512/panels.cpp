#include <immintrin.h>

#include "cpu_kernels/avx512/kernels.h"
#include "cpu_kernels/avx512/panel_results.h"
#include "cpu_kernels/avx512/unit_decoder.h"
#include "cpu_kernels/code_bytes.h"

namespace baltoro::kernels::avx512 {
namespace {

template <WeightFormat F>
struct FloatDecoder {
    UnitDecoder<F> decode;

    void operator()(const uint8_t* from, float* to) const {
        __m512 w[4];
        decode(from, w);
        for (int i = 0; i < 4; ++i)
            _mm512_store_ps(to + 16 * i, w[i]);
    }
};

struct Level : PanelResults {
    static constexpr int kUnit = kernels::kUnit;
    static constexpr float kDivisor = kFp8Divisor;
    using Element = float;
    template <WeightFormat F>
    using Decoder = FloatDecoder<F>;

    // 24 sums in each shape: pairs of panels, so that a broadcast serves two multiplications (a
    // broadcast for each is all that the load ports do).
    static void multiply(const DecodedBlock<Level>& block,
                         const PanelGroup& panels,
                         PanelTotals& totals) noexcept {
        PanelGroup rest = panels;
        for (; rest.n_panels >= 2; rest.n_panels -= 2) {
            for (int s = 0; s < kChunk; s += kChunk / 2)
                multiply_tile<kChunk / 2, 2>(block, s, rest, totals);
            rest.first += 2 * rest.panel_elements;
            rest.total += 2 * kPanelRows;
        }
        if (rest.n_panels == 1) multiply_tile<kChunk, 1>(block, 0, rest, totals);
    }

    // M weight rows from s0 on x P panels in registers, which the compiler leaves only if every
    // loop is unrolled; lane = activation row.
    template <int M, int P>
    static void multiply_tile(const DecodedBlock<Level>& block,
                              int s0,
                              const PanelGroup& panels,
                              PanelTotals& totals) noexcept {
        __m512 sum[M][P];
#pragma GCC unroll 24
        for (int s = 0; s < M; ++s)
#pragma GCC unroll 2
            for (int p = 0; p < P; ++p)
                sum[s][p] = _mm512_setzero_ps();
        for (int j = 0; j < panels.depth; j += 4) {
            const float* const weight = &block.weight[s0][j / kUnit * kUnit + j % kUnit / 4];
            const bf16_t* const x = panels.first + j * kPanelRows;
            multiply_pair<M, P>(weight, x, panels.panel_elements, sum);
            multiply_pair<M, P>(weight + 2 * 16, x + 2 * kPanelRows, panels.panel_elements, sum);
        }
#pragma GCC unroll 24
        for (int s = 0; s < M; ++s) {
            const __m512 scale = _mm512_set1_ps(block.scale[s0 + s]);
#pragma GCC unroll 2
            for (int p = 0; p < P; ++p) {
                float* const total = &totals[s0 + s][panels.total + p * kPanelRows];
                _mm512_store_ps(total, _mm512_fmadd_ps(sum[s][p], scale, _mm512_load_ps(total)));
            }
        }
    }

    // sum[s][p] += two columns; the second one's weights are 16 elements on.
    template <int M, int P>
    static void multiply_pair(const float* weight,
                              const bf16_t* x,
                              size_t panel_elements,
                              __m512 (&sum)[M][P]) noexcept {
        __m512 column[P][2];
#pragma GCC unroll 2
        for (int p = 0; p < P; ++p)
            split_pairs(_mm512_load_si512(x + p * panel_elements), column[p][0], column[p][1]);
#pragma GCC unroll 2
        for (int i = 0; i < 2; ++i)
#pragma GCC unroll 24
            for (int s = 0; s < M; ++s) {
                const __m512 w = _mm512_set1_ps(weight[s * kScaleBlock + 16 * i]);
#pragma GCC unroll 2
                for (int p = 0; p < P; ++p)
                    sum[s][p] = _mm512_fmadd_ps(w, column[p][i], sum[s][p]);
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

}  // namespace baltoro::kernels::avx512
