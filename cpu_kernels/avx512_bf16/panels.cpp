#include <immintrin.h>

#include "cpu_kernels/avx512_bf16/kernels.h"
#include "cpu_kernels/avx512_bf16/panel_chunks.h"

namespace baltoro::kernels::avx512_bf16 {
namespace {

// M weight rows x P panels in registers; lane = activation row. Each weight pair is broadcast from
// the decoded block, each 16 pairs of activations are one load.
template <int M, int P>
void multiply_tile(const DecodedBlock& block,
                   int s0,
                   const PanelGroup& panels,
                   PanelScratch& scratch) noexcept {
    __m512 sum[M][P];
    for (int s = 0; s < M; ++s)
        for (int p = 0; p < P; ++p)
            sum[s][p] = _mm512_setzero_ps();
    for (int j = 0; j < panels.depth; j += 2) {
        __m512i x[P];
        for (int p = 0; p < P; ++p)
            x[p] = _mm512_load_si512(panels.first + p * panels.panel_elements +
                                     static_cast<ptrdiff_t>(j) * kPanelRows);
        for (int s = 0; s < M; ++s) {
            int32_t pair;
            memcpy(&pair, &block.weight[s0 + s][j], sizeof pair);
            const __m512i w = _mm512_set1_epi32(pair);
            for (int p = 0; p < P; ++p)
                sum[s][p] = _mm512_dpbf16_ps(sum[s][p], reinterpret_cast<__m512bh>(x[p]),
                                             reinterpret_cast<__m512bh>(w));
        }
    }
    for (int s = 0; s < M; ++s) {
        const __m512 scale = _mm512_set1_ps(block.scale[s0 + s]);
        for (int p = 0; p < P; ++p) {
            float* total = &scratch.total[s0 + s][panels.total + p * kPanelRows];
            _mm512_store_ps(total, _mm512_fmadd_ps(sum[s][p], scale, _mm512_load_ps(total)));
        }
    }
}

struct Level {
    static constexpr int kChunk = 24;

    template <int M, int P>
    static void multiply_tiles(const DecodedBlock& block,
                               const PanelGroup& panels,
                               PanelScratch& scratch) noexcept {
        for (int s = 0; s < kChunk; s += M)
            multiply_tile<M, P>(block, s, panels, scratch);
    }

    // 24 accumulators in each shape, enough to cover the latency and leave room for operands.
    static void multiply(const DecodedBlock& block,
                         const PanelGroup& panels,
                         PanelScratch& scratch) noexcept {
        switch (panels.n_panels) {
            case 1:
                return multiply_tiles<24, 1>(block, panels, scratch);
            case 2:
                return multiply_tiles<12, 2>(block, panels, scratch);
            case 3:
                return multiply_tiles<8, 3>(block, panels, scratch);
            default:
                return multiply_tiles<6, 4>(block, panels, scratch);
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
    return sizeof(PanelScratch);
}

}  // namespace baltoro::kernels::avx512_bf16
