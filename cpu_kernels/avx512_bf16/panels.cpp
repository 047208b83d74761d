#include "cpu_kernels/avx512/exp.h"
#include "cpu_kernels/avx512_bf16/avx512_bf16.h"
#include "cpu_kernels/avx512_bf16/weights.h"

// Many activation rows: bound by VDPBF16PS. A few weight rows are decoded into scratch that stays
// in the second-level cache; then every pair of panels passes over them with lane = activation row,
// so a weight pair is broadcast from memory and no sum crosses lanes. The e4m3 codes are exact in
// bf16; the block scale is applied to the f32 sums of 128 products, so nothing is rounded but the
// products' sum.

namespace baltoro::kernels {
namespace {

constexpr int kTileRows = 8;  // weight rows of a tile: 8 x 2 panels = 16 running sums
constexpr int kTilePanels = 2;

// Decoded weight rows [n, padded k] in scratch, and where their scales lie.
struct DecodedRows {
    const bf16_t* rows;
    ptrdiff_t stride;
    const float* scale[kTileRows];  // per row: one entry per 128 columns, or null
};

template <typename Loader>
void decode_row(const Loader& loader, const Weight& w, int i, bf16_t* dst, int padded_k) noexcept {
    const char* at = weight_row<Loader>(w, i);
    for (int j = 0; j < padded_k; j += 64) {
        const int n = w.k - j;
        const char* from = at + static_cast<ptrdiff_t>(j) * Loader::kElementBytes;
        _mm_prefetch(from + 2048 * Loader::kElementBytes, _MM_HINT_T0);
        const Weights64 decoded = n >= 64 ? loader.load(from) : loader.load(n > 0 ? from : at, n);
        _mm512_store_si512(dst + j, reinterpret_cast<__m512i>(decoded.low));
        _mm512_store_si512(dst + j + 32, reinterpret_cast<__m512i>(decoded.high));
    }
}

int decoded_stride(int k) noexcept {
    return (k + 63) / 64 * 64;
}

// Decodes rows [first, first + n) into scratch rows [at, at + n).
template <typename Loader>
void decode_rows(const Loader& loader,
                 const Weight& w,
                 int first,
                 int n,
                 int at,
                 bf16_t* scratch,
                 DecodedRows& decoded) noexcept {
    const int stride = decoded_stride(w.k);
    for (int i = 0; i < n; i++) {
        decode_row(loader, w, first + i, scratch + static_cast<ptrdiff_t>(at + i) * stride, stride);
        decoded.scale[at + i] = Loader::kHasScales ? scale_row(w, first + i) : nullptr;
    }
    decoded.rows = scratch;
    decoded.stride = stride;
}

__m512bh broadcast_pair(const bf16_t* pair) noexcept {
    int bits;
    __builtin_memcpy(&bits, pair, sizeof bits);
    return reinterpret_cast<__m512bh>(_mm512_set1_epi32(bits));
}

// sums[i][p] += products of decoded row i and panel p over columns [begin, end); end - begin is
// even (padding is zero on both sides).
template <int P>
void multiply_block(const DecodedRows& decoded,
                    const bf16_t* const* panels,
                    int begin,
                    int end,
                    __m512 (&sums)[kTileRows][P]) noexcept {
    const bf16_t* w = decoded.rows;
    const ptrdiff_t stride = decoded.stride;
    for (int j = begin; j < end; j += 2) {
        __m512bh x[P];
        for (int p = 0; p < P; p++)
            x[p] = reinterpret_cast<__m512bh>(
                _mm512_load_si512(panels[p] + static_cast<ptrdiff_t>(j) * kPanelRows));
#pragma GCC unroll 8
        for (int i = 0; i < kTileRows; i++) {
            const __m512bh pair = broadcast_pair(w + i * stride + j);
#pragma GCC unroll 2
            for (int p = 0; p < P; p++)
                sums[i][p] = _mm512_dpbf16_ps(sums[i][p], pair, x[p]);
        }
    }
}

// totals[i][p] = the whole products of kTileRows decoded rows and P panels.
template <int P>
void multiply_tile(const DecodedRows& decoded,
                   const bf16_t* const* panels,
                   int k,
                   __m512 (&totals)[kTileRows][P]) noexcept {
    for (int i = 0; i < kTileRows; i++)
        for (int p = 0; p < P; p++)
            totals[i][p] = _mm512_setzero_ps();
    const int depth = padded_depth(k);
    for (int begin = 0; begin < depth; begin += kScaleBlock) {
        const int end = begin + kScaleBlock < depth ? begin + kScaleBlock : depth;
        __m512 sums[kTileRows][P];
#pragma GCC unroll 8
        for (int i = 0; i < kTileRows; i++)
#pragma GCC unroll 2
            for (int p = 0; p < P; p++)
                sums[i][p] = _mm512_setzero_ps();
        multiply_block<P>(decoded, panels, begin, end, sums);
#pragma GCC unroll 8
        for (int i = 0; i < kTileRows; i++) {
            const __m512 scale = _mm512_set1_ps(
                decoded.scale[i] == nullptr ? 1.0f : decoded.scale[i][begin / kScaleBlock]);
#pragma GCC unroll 2
            for (int p = 0; p < P; p++)
                totals[i][p] = _mm512_fmadd_ps(sums[i][p], scale, totals[i][p]);
        }
    }
}

// The lanes of up to 8 vectors as rows: out[r] holds lane r of rows 0-7.
void transpose_8x16(const __m512 (&rows)[kTileRows], __m256 (&out)[16]) noexcept {
    alignas(64) float lanes[kTileRows][16];
    for (int i = 0; i < kTileRows; i++)
        _mm512_store_ps(lanes[i], rows[i]);
    const __m256i offsets = _mm256_setr_epi32(0, 16, 32, 48, 64, 80, 96, 112);
    for (int r = 0; r < 16; r++)
        out[r] = _mm256_i32gather_ps(&lanes[0][0] + r, offsets, 4);
}

// Writes the products of weight rows [first, first + n) with one panel's activation rows.
void store_product(const PanelsProduct& args,
                   const __m512 (&totals)[kTileRows],
                   int first,
                   int n,
                   int first_row) noexcept {
    __m256 columns[16];
    transpose_8x16(totals, columns);
    const auto mask = static_cast<__mmask8>(n >= 8 ? 0xffu : (1u << n) - 1u);
    const int n_rows = args.n_rows - first_row < kPanelRows ? args.n_rows - first_row : kPanelRows;
    for (int r = 0; r < n_rows; r++) {
        const int row = first_row + r;
        if (args.gain == nullptr) {
            _mm256_mask_storeu_ps(args.dst + row * args.dst_stride + first, mask, columns[r]);
        } else {
            float* dst = args.dst +
                         (args.dst_row == nullptr ? row : args.dst_row[row]) * args.dst_stride +
                         first;
            const __m256 before = _mm256_maskz_loadu_ps(mask, dst);
            _mm256_mask_storeu_ps(
                dst, mask, _mm256_fmadd_ps(_mm256_set1_ps(args.gain[row]), columns[r], before));
        }
    }
}

template <int P>
void product_panels(const PanelsProduct& args,
                    const DecodedRows& decoded,
                    int first,
                    int n,
                    int panel_idx) noexcept {
    const bf16_t* panels[P];
    for (int p = 0; p < P; p++)
        panels[p] = args.panels + static_cast<size_t>(panel_idx + p) * panel_elements(args.w.k);
    __m512 totals[kTileRows][P];
    multiply_tile<P>(decoded, panels, args.w.k, totals);
    for (int p = 0; p < P; p++) {
        __m512 column[kTileRows];
        for (int i = 0; i < kTileRows; i++)
            column[i] = totals[i][p];
        store_product(args, column, first, n, (panel_idx + p) * kPanelRows);
    }
}

template <typename Loader>
void product(const PanelsProduct& args) noexcept {
    const Loader loader;
    const int n_panels = (args.n_rows + kPanelRows - 1) / kPanelRows;
    for (int i = args.range.begin; i < args.range.end; i += kTileRows) {
        const int n = args.range.end - i < kTileRows ? args.range.end - i : kTileRows;
        DecodedRows decoded{};
        decode_rows(loader, args.w, i, n, 0, static_cast<bf16_t*>(args.scratch), decoded);
        int panel = 0;
        for (; panel + kTilePanels <= n_panels; panel += kTilePanels)
            product_panels<kTilePanels>(args, decoded, i, n, panel);
        if (panel < n_panels) product_panels<1>(args, decoded, i, n, panel);
    }
}

// Two consecutive rows of gated values as the pairs of a panel; rows past the batch become zero.
void store_pair(__m512 even, __m512 odd, __mmask16 rows, bf16_t* dst) noexcept {
    const __m512i low = _mm512_cvtepu16_epi32(reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(even)));
    const __m512i high = _mm512_cvtepu16_epi32(reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(odd)));
    _mm512_store_si512(
        dst, _mm512_maskz_mov_epi32(rows, _mm512_or_si512(low, _mm512_slli_epi32(high, 16))));
}

// Rows 0-3 of the tile are gate, 4-7 the same rows of up.
template <int P>
void gate_up_panels(const PanelsGateUp& args,
                    const DecodedRows& decoded,
                    int first,
                    int n,
                    int panel_idx) noexcept {
    const bf16_t* panels[P];
    for (int p = 0; p < P; p++)
        panels[p] = args.panels + static_cast<size_t>(panel_idx + p) * panel_elements(args.gate.k);
    __m512 totals[kTileRows][P];
    multiply_tile<P>(decoded, panels, args.gate.k, totals);
    for (int p = 0; p < P; p++) {
        bf16_t* dst =
            args.dst_panels + static_cast<size_t>(panel_idx + p) * panel_elements(args.gate.n);
        const int left = args.n_rows - (panel_idx + p) * kPanelRows;
        const auto rows = static_cast<__mmask16>(left >= 16 ? 0xffffu : (1u << left) - 1u);
        for (int i = 0; i < n; i += 2) {
            const __m512 even = gated_ps(totals[i][p], totals[4 + i][p]);
            const __m512 odd =
                i + 1 < n ? gated_ps(totals[i + 1][p], totals[5 + i][p]) : _mm512_setzero_ps();
            store_pair(even, odd, rows, dst + static_cast<ptrdiff_t>(first + i) * kPanelRows);
        }
    }
}

template <typename Loader>
void gate_up(const PanelsGateUp& args) noexcept {
    const Loader loader;
    constexpr int kRows = kTileRows / 2;
    const int n_panels = (args.n_rows + kPanelRows - 1) / kPanelRows;
    for (int i = args.range.begin; i < args.range.end; i += kRows) {
        const int n = args.range.end - i < kRows ? args.range.end - i : kRows;
        DecodedRows decoded{};
        decode_rows(loader, args.gate, i, n, 0, static_cast<bf16_t*>(args.scratch), decoded);
        decode_rows(loader, args.up, i, n, kRows, static_cast<bf16_t*>(args.scratch), decoded);
        int panel = 0;
        for (; panel + kTilePanels <= n_panels; panel += kTilePanels)
            gate_up_panels<kTilePanels>(args, decoded, i, n, panel);
        if (panel < n_panels) gate_up_panels<1>(args, decoded, i, n, panel);
    }
}

}  // namespace

void panels_product_avx512_bf16(const PanelsProduct& args) noexcept {
    if (args.w.format == WeightFormat::fp8_block) {
        product<Fp8Loader>(args);
    } else {
        product<Bf16Loader>(args);
    }
}

void panels_gate_up_avx512_bf16(const PanelsGateUp& args) noexcept {
    if (args.gate.format == WeightFormat::fp8_block) {
        gate_up<Fp8Loader>(args);
    } else {
        gate_up<Bf16Loader>(args);
    }
}

size_t panel_scratch_bytes_avx512_bf16(int k, int /*n_rows*/) noexcept {
    return static_cast<size_t>(decoded_stride(k)) * kTileRows * sizeof(bf16_t);
}

}  // namespace baltoro::kernels
