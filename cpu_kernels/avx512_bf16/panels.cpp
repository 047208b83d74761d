#include <immintrin.h>

#include "cpu_kernels/avx512/panel_results.h"
#include "cpu_kernels/avx512_bf16/kernels.h"
#include "cpu_kernels/avx512_bf16/table_decoder.h"

namespace baltoro::kernels::avx512_bf16 {
namespace {

// sum[s][p] += eight columns of M weight rows x P panels. Each weight pair is broadcast from the
// decoded block, each 16 pairs of activations are one load.
template <int M, int P>
inline void multiply_eighth(const bf16_t* weight,
                            const bf16_t* x,
                            size_t panel_elements,
                            __m512 (&sum)[M][P]) {
    for (int j = 0; j < 8; j += 2) {
        __m512i pairs[P];
#pragma GCC unroll 4
        for (int p = 0; p < P; ++p)
            pairs[p] = _mm512_load_si512(x + p * panel_elements + j * kPanelRows);
#pragma GCC unroll 24
        for (int s = 0; s < M; ++s) {
            int32_t pair;
            memcpy(&pair, weight + s * kScaleBlock + j, sizeof pair);
            const __m512i w = _mm512_set1_epi32(pair);
#pragma GCC unroll 4
            for (int p = 0; p < P; ++p)
                sum[s][p] = _mm512_dpbf16_ps(sum[s][p], reinterpret_cast<__m512bh>(pairs[p]),
                                             reinterpret_cast<__m512bh>(w));
        }
    }
}

// M weight rows from s0 on x P panels in registers, which the compiler leaves only if every loop is
// unrolled; lane = activation row.
template <class Block, int M, int P>
void multiply_tile(const Block& block,
                   int s0,
                   const PanelGroup& panels,
                   PanelTotals& totals) noexcept {
    __m512 sum[M][P];
#pragma GCC unroll 24
    for (int s = 0; s < M; ++s)
#pragma GCC unroll 4
        for (int p = 0; p < P; ++p)
            sum[s][p] = _mm512_setzero_ps();
    for (int e = 0; e < kScaleBlock / 8; ++e) {
        const int first = e / 8 * 64 + 8 * kEighths[e % 8];
        if (first >= panels.depth) continue;
        multiply_eighth<M, P>(&block.weight[s0][8 * e], panels.first + first * kPanelRows,
                              panels.panel_elements, sum);
    }
#pragma GCC unroll 24
    for (int s = 0; s < M; ++s) {
        const __m512 scale = _mm512_set1_ps(block.scale[s0 + s]);
#pragma GCC unroll 4
        for (int p = 0; p < P; ++p) {
            float* total = &totals[s0 + s][panels.total + p * kPanelRows];
            _mm512_store_ps(total, _mm512_fmadd_ps(sum[s][p], scale, _mm512_load_ps(total)));
        }
    }
}

struct Level : PanelResults {
    static constexpr int kUnit = 64;
    static constexpr float kDivisor = 1.0f;
    using Element = bf16_t;
    template <WeightFormat F>
    using Decoder = TableDecoder<F>;
    using Block = DecodedBlock<Level>;

    template <int M, int P>
    static void multiply_tiles(const Block& block,
                               const PanelGroup& panels,
                               PanelTotals& totals) noexcept {
        for (int s = 0; s < kChunk; s += M)
            multiply_tile<Block, M, P>(block, s, panels, totals);
    }

    // 24 accumulators in each shape, enough to cover the latency and leave room for operands.
    static void multiply(const Block& block,
                         const PanelGroup& panels,
                         PanelTotals& totals) noexcept {
        switch (panels.n_panels) {
            case 1:
                return multiply_tiles<24, 1>(block, panels, totals);
            case 2:
                return multiply_tiles<12, 2>(block, panels, totals);
            case 3:
                return multiply_tiles<8, 3>(block, panels, totals);
            default:
                return multiply_tiles<6, 4>(block, panels, totals);
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

}  // namespace baltoro::kernels::avx512_bf16
