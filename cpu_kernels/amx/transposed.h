#pragma once

#include "cpu_kernels/amx/chunks.h"
#include "cpu_kernels/announce.h"
#include "cpu_kernels/avx512/kernels.h"

// The transposed product of fp8 weights. Include tile.h or tile_emulated.h first.
//
// Activation rows are A tiles, pairs of weight rows B tiles. The activations are f32: each is the
// sum of three bf16, exactly, so that nothing is rounded but sums. 64 columns are decoded, a scale
// block (128 weight rows) at a time, while the 64 before are multiplied.
namespace baltoro::kernels {
namespace {

constexpr int kTerms = 3;
constexpr int kBlockColumns = 64;
constexpr int kColumnTiles = kBlockColumns / kPanelRows;
constexpr int kRowPairs = kPanelDepth / 2;  // pairs of weight rows in a B tile

using PairTile = bf16_t[kRowPairs][2 * kPanelRows];

struct alignas(64) TransposedSpace {
    bf16_t x[kSteps][kTerms][kTileRows][kPanelDepth];
    PairTile weight[2][kSteps][kColumnTiles];
    float sum[kColumnTiles][kTileRows][kPanelRows];
    uint64_t special[kSteps][kRowPairs];  // codes to mend, by pair of weight rows
};

// Weight rows that have their scales in common.
struct TransposedRows {
    int begin;
    int n;
    bool is_first;
};

class TransposedLoop {
  public:
    TransposedLoop(const TransposedProduct& a, TransposedSpace& space) noexcept
        : a_(a), space_(space), tiles_(kPanelRows, a.n_rows) {}

    void run(const TransposedRows& rows) noexcept {
        rows_ = rows;
        split_activations();
        decode(0, 0);
        const int n_steps = (rows.n + kPanelDepth - 1) / kPanelDepth;
        for (int j = 0, block = 0; j < a_.w.k; j += kBlockColumns, block = 1 - block) {
            const int next = j + kBlockColumns;
            if (rows.n == kScaleBlock && next + kBlockColumns <= a_.w.k) {
                multiply<true>(block, kSteps, next);
                mend(1 - block, next);
            } else {
                multiply<false>(block, n_steps, next);
                if (next < a_.w.k) decode(1 - block, next);
            }
            put_sums(j);
        }
    }

  private:
    // The upper halves of a float's three parts, 16 bits each; what follows
    // infinity and NaN is 0.
    static void split(__m512 x, __m256i (&term)[kTerms]) noexcept {
        constexpr int kInfinityOrNan = 0x99;
        const __mmask16 finite = static_cast<__mmask16>(~_mm512_fpclass_ps_mask(x, kInfinityOrNan));
        for (int t = 0; t < kTerms; ++t) {
            const __m512i upper = _mm512_srli_epi32(_mm512_castps_si512(x), 16);
            term[t] = _mm512_cvtepi32_epi16(upper);
            x = _mm512_maskz_sub_ps(finite, x, _mm512_castsi512_ps(_mm512_slli_epi32(upper, 16)));
        }
    }

    void split_activations() noexcept {
        const int first = rows_.begin - a_.range.begin;
        for (int r = 0; r < a_.n_rows; ++r) {
            const float* x = a_.x + r * a_.x_stride + first;
            for (int i = 0; i < kScaleBlock; i += kPanelDepth / 2) {
                __m256i term[kTerms];
                split(_mm512_maskz_loadu_ps(first_lanes(rows_.n - i), x + i), term);
                for (int t = 0; t < kTerms; ++t) {
                    bf16_t* to = space_.x[i / kPanelDepth][t][r] + i % kPanelDepth;
                    _mm256_store_si256(reinterpret_cast<__m256i*>(to), term[t]);
                }
            }
        }
    }

    const uint8_t* row(int i, int j) const noexcept {
        return weight_row(a_.w, rows_.begin + i) + j;
    }

    // Two weight rows' 64 columns: column 16 l + 4 t + c goes to tile t, place 4 l + c.
    [[gnu::always_inline]] static void put_pair(const Decoder::Halves& first,
                                                const Decoder::Halves& second,
                                                PairTile* to,
                                                int pair) noexcept {
        const Bf16x64 a = first.unpacked();
        const Bf16x64 b = second.unpacked();
        _mm512_store_si512(to[0][pair], _mm512_unpacklo_epi16(a.first, b.first));
        _mm512_store_si512(to[1][pair], _mm512_unpackhi_epi16(a.first, b.first));
        _mm512_store_si512(to[2][pair], _mm512_unpacklo_epi16(a.second, b.second));
        _mm512_store_si512(to[3][pair], _mm512_unpackhi_epi16(a.second, b.second));
    }

    // Any rows and columns; what does not exist is 0.
    void decode(int block, int j) noexcept {
        constexpr int kRowsAhead = 16;
        const Decoder decode;
        const __mmask64 columns = first_lanes64(a_.w.k - j);
        for (int i = 0; i < kScaleBlock; i += 2) {
            const auto codes = [&](int row_idx) {
                return row_idx < rows_.n ? _mm512_maskz_loadu_epi8(columns, row(row_idx, j))
                                         : _mm512_setzero_si512();
            };
            if (i + kRowsAhead + 1 < rows_.n) {
                announce_lines<64, kFirstLevel>(row(i + kRowsAhead, j));
                announce_lines<64, kFirstLevel>(row(i + kRowsAhead + 1, j));
            }
            put_pair(decode.exact_halves(codes(i)), decode.exact_halves(codes(i + 1)),
                     space_.weight[block][i / kPanelDepth], i % kPanelDepth / 2);
        }
    }

    // Codes that are no normal numbers are rare, so `multiply` decodes as if there were none.
    void mend(int block, int j) noexcept {
        const Decoder decode;
        for (int step = 0; step < kSteps; ++step)
            for (int p = 0; p < kRowPairs; p += 8) {
                const __m512i special = _mm512_load_si512(space_.special[step] + p);
                unsigned pairs = _mm512_test_epi64_mask(special, special);
                for (; pairs != 0; pairs &= pairs - 1) {
                    const int pair = p + __builtin_ctz(pairs);
                    const uint8_t* from = row(step * kPanelDepth + 2 * pair, j);
                    put_pair(decode.exact_halves(_mm512_loadu_si512(from)),
                             decode.exact_halves(_mm512_loadu_si512(from + a_.w.stride)),
                             space_.weight[block][step], pair);
                }
            }
    }

    // What is decoded beside a step.
    struct Beside {
        const uint8_t* from;
        ptrdiff_t stride;
        PairTile* to;
        uint64_t* special;
    };

    template <bool kDecode, int kPair>
    [[gnu::always_inline]] static void decode_pair(const Decoder& decode, Beside& b) noexcept {
        if constexpr (kDecode) {
            const uint8_t* second = b.from + b.stride;
            announce_lines<64, kSecondLevel>(b.from + kBlockColumns);
            announce_lines<64, kSecondLevel>(second + kBlockColumns);
            __mmask64 special = 0;
            const Decoder::Halves halves =
                decode.normal_halves(_mm512_loadu_si512(b.from), special);
            put_pair(halves, decode.normal_halves(_mm512_loadu_si512(second), special), b.to,
                     kPair);
            b.special[kPair] = special;
            b.from += 2 * b.stride;
            keep_in_register(b.from);
        }
    }

    template <bool kDecode, int kTile>
    [[gnu::always_inline]] void multiply_tile(const Decoder& decode,
                                              const PairTile* weight,
                                              bool is_first,
                                              Beside& b) noexcept {
        tiles_.template load<7>(weight[kTile], kTileRowBytes);
        decode_pair<kDecode, 4 * kTile>(decode, b);
        if (is_first) tiles_.template zero<kTile>();
        tiles_.template multiply<kTile, 4, 7>();
        decode_pair<kDecode, 4 * kTile + 1>(decode, b);
        tiles_.template multiply<kTile, 5, 7>();
        decode_pair<kDecode, 4 * kTile + 2>(decode, b);
        tiles_.template multiply<kTile, 6, 7>();
        decode_pair<kDecode, 4 * kTile + 3>(decode, b);
    }

    // Multiplies a block, and decodes the 64 columns from `next` on into the other one beside it.
    template <bool kDecode>
    void multiply(int block, int n_steps, int next) noexcept {
        Decoder decode;
        if constexpr (kDecode) decode.keep_in_registers();
        for (int step = 0; step < n_steps; ++step) {
            Beside b = {};
            if constexpr (kDecode) {
                b.from = row(step * kPanelDepth, next);
                b.stride = a_.w.stride;
                b.to = space_.weight[1 - block][step];
                b.special = space_.special[step];
            }
            const PairTile* const weight = space_.weight[block][step];
            tiles_.template load<4>(space_.x[step][0], kTileRowBytes);
            tiles_.template load<5>(space_.x[step][1], kTileRowBytes);
            tiles_.template load<6>(space_.x[step][2], kTileRowBytes);
            multiply_tile<kDecode, 0>(decode, weight, step == 0, b);
            multiply_tile<kDecode, 1>(decode, weight, step == 0, b);
            multiply_tile<kDecode, 2>(decode, weight, step == 0, b);
            multiply_tile<kDecode, 3>(decode, weight, step == 0, b);
        }
        tiles_.template store<0>(space_.sum[0], kTileRowBytes);
        tiles_.template store<1>(space_.sum[1], kTileRowBytes);
        tiles_.template store<2>(space_.sum[2], kTileRowBytes);
        tiles_.template store<3>(space_.sum[3], kTileRowBytes);
    }

    // The sums of 64 columns from j on, in their order again.
    void put_sums(int j) noexcept {
        const __m512 scale = _mm512_set1_ps(scale_row(a_.w, rows_.begin)[j / kScaleBlock]);
        const bool adds = a_.accumulate || !rows_.is_first;
        for (int r = 0; r < a_.n_rows; ++r) {
            const __m512 t0 = _mm512_load_ps(space_.sum[0][r]);
            const __m512 t1 = _mm512_load_ps(space_.sum[1][r]);
            const __m512 t2 = _mm512_load_ps(space_.sum[2][r]);
            const __m512 t3 = _mm512_load_ps(space_.sum[3][r]);
            const __m512 low01 = _mm512_shuffle_f32x4(t0, t1, 0x44);
            const __m512 low23 = _mm512_shuffle_f32x4(t2, t3, 0x44);
            const __m512 high01 = _mm512_shuffle_f32x4(t0, t1, 0xee);
            const __m512 high23 = _mm512_shuffle_f32x4(t2, t3, 0xee);
            const __m512 sum[4] = {_mm512_shuffle_f32x4(low01, low23, 0x88),
                                   _mm512_shuffle_f32x4(low01, low23, 0xdd),
                                   _mm512_shuffle_f32x4(high01, high23, 0x88),
                                   _mm512_shuffle_f32x4(high01, high23, 0xdd)};
            for (int v = 0; v < 4; ++v) {
                const __mmask16 lanes = first_lanes(a_.w.k - j - 16 * v);
                float* const dst = a_.dst + r * a_.dst_stride + j + 16 * v;
                const __m512 before =
                    adds ? _mm512_maskz_loadu_ps(lanes, dst) : _mm512_setzero_ps();
                _mm512_mask_storeu_ps(dst, lanes, _mm512_fmadd_ps(sum[v], scale, before));
            }
        }
    }

    const TransposedProduct& a_;
    TransposedSpace& space_;
    Tiles tiles_;
    TransposedRows rows_ = {};
};

void tile_transposed_product(const TransposedProduct& a) noexcept {
    const bool empty = a.range.begin >= a.range.end || a.n_rows == 0;
    if (a.w.format == WeightFormat::bf16 || empty) return avx512::transposed_product(a);
    TransposedSpace space;
    TransposedLoop loop(a, space);
    for (int i = a.range.begin; i < a.range.end;) {
        const int end = same_scales_end(a.range, i);
        loop.run({i, end - i, i == a.range.begin});
        i = end;
    }
}

}  // namespace
}  // namespace baltoro::kernels
