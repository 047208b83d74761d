#pragma once

#include <string.h>

#include "cpu_kernels/amx/chunks.h"
#include "cpu_kernels/announce.h"
#include "cpu_kernels/registers.h"

// The loop of all AMX products. Include tile.h or tile_emulated.h first; it supplies `Tiles`.
//
// A chunk of 32 weight rows is decoded to bf16 one scale block (128 k) at a time: two A tiles for
// each 32 k. It is multiplied with the panels of the activations (B tiles); block sums enter f32
// totals with the exact block scale. While the tiles multiply one block, the next one is decoded
// and the one before is added, a few instructions after each instruction on tiles, so that memory,
// decoding and multiplication overlap. That sequence of blocks runs on from chunk to chunk.
namespace baltoro::kernels {
namespace {

template <WeightFormat F, int kColumns>
class ChunkLoop {
  public:
    // total: batch_chunks x n_pairs(a), a whole number of pages behind `space`.
    ChunkLoop(const ChunkedProduct& a, Workspace& space, PairSums* total) noexcept
        : a_(a), space_(space), total_(total), tiles_(kColumns) {}

    // finish(chunk's first weight row, panel, total of the first tile, of the second)
    template <class Finish>
    void run(const Finish& finish) noexcept {
        if (a_.range.begin >= a_.range.end) return;
        memset(idle_, 0, sizeof idle_);
        Place at = first_place(a_);
        set_next(at);
        decode_all();
        for (bool more = true; more;) {
            current_ = next_;
            for (int tile = 0; tile < 2; ++tile)
                if (rows_[tile].scale) scale_[tile] = rows_[tile].scale[at.k / kScaleBlock];
            Place next = at;
            more = advance(a_, next);
            if (more) set_next(next);
            PairSums* const total = total_ + (at.chunk - at.batch) / a_.chunk_rows * n_pairs(a_);
            if (at.k == 0) memset(total, 0, static_cast<size_t>(n_pairs(a_)) * sizeof *total);
            multiply(at, more, total);
            if (at.k + kScaleBlock >= a_.top.k) {
                add_all();
                for (int p = 0; p < a_.n_panels; ++p)
                    finish(at.chunk, p, total[p / 2][0][p % 2], total[p / 2][1][p % 2]);
            }
            at = next;
        }
    }

  private:
    static constexpr int kBoth = 2;  // tiles
    static constexpr ptrdiff_t kColumnBytes = 4 * kColumns;

    // Takes the block at `at` as the one to decode.
    void set_next(const Place& at) noexcept {
        if (at.chunk != next_chunk_)
            for (int tile = 0; tile < 2; ++tile)
                rows_[tile] = tile_rows<F>(a_, at.chunk, tile);
        next_chunk_ = at.chunk;
        next_k_ = at.k;
        ahead_ = ahead_of(a_, at);
        next_ = 1 - current_;
    }

    // The first row of a tile of the next block.
    const uint8_t* block(int tile) const noexcept {
        return rows_[tile].first + static_cast<ptrdiff_t>(next_k_) * kWeightBytes<F>;
    }

    bool is_whole() const noexcept {
        return a_.top.k - next_k_ >= kScaleBlock && rows_[0].n_rows == kTileRows &&
               rows_[1].n_rows == kTileRows;
    }

    // The whole next block. Rows that do not exist keep what was there: their sums are never looked
    // at.
    void decode_all() noexcept {
        const Decoder decode;
        const ptrdiff_t depth = a_.top.k - next_k_;
        for (int tile = 0; tile < 2; ++tile)
            for (int row = 0; row < rows_[tile].n_rows; ++row) {
                const uint8_t* from = block(tile) + row * rows_[tile].stride;
                auto& to = space_.weight[next_][tile];
                for (int half = 0; half < 2; ++half) {
                    const Bf16x64 w = load_weights<F>(decode, from, 64 * half, depth - 64 * half);
                    _mm512_store_si512(to[2 * half][row], w.first);
                    _mm512_store_si512(to[2 * half + 1][row], w.second);
                }
            }
    }

    void multiply(const Place& at, bool more, PairSums* total) noexcept {
        const int padded = padded_depth(a_.top.k) - at.k;
        const int n_steps = padded < kScaleBlock ? padded / kPanelDepth : kSteps;
        const bf16_t* x = a_.x + static_cast<ptrdiff_t>(at.k) * kColumns;
        if (more && n_steps == kSteps && is_whole()) {
            multiply_and_decode(x, total);
            return;
        }
        if (more) decode_all();
        for (int p = 0; p < a_.n_panels; p += 2)
            visit_pair<false>(x, p, n_steps, 0, total);
    }

    // Up to two panels go by one tile of weight rows at a time: what is decoded beside it is then
    // spread evenly.
    void multiply_and_decode(const bf16_t* x, PairSums* total) noexcept {
        if (a_.n_panels == 1) {
            visit<0, 1, true>(x, kSteps, 0, total);
            visit<1, 1, true>(x, kSteps, 1, total);
            return;
        }
        if constexpr (kColumns > 1) {
            if (a_.n_panels == 2) {
                visit<0, 2, true>(x, kSteps, 0, total);
                visit<1, 2, true>(x, kSteps, 1, total);
                return;
            }
            visit_pair<true>(x, 0, kSteps, 0, total);
            visit_pair<true>(x, 2, kSteps, 1, total);
            for (int p = 4; p < a_.n_panels; p += 2)
                visit_pair<false>(x, p, kSteps, 0, total);
        }
    }

    // Panels p and p + 1, if both exist.
    template <bool kDecode>
    void visit_pair(const bf16_t* x, int p, int n_steps, int decoded, PairSums* total) noexcept {
        x += p * a_.panel_distance;
        if constexpr (kColumns > 1) {
            if (p + 1 < a_.n_panels) {
                visit<kBoth, 2, kDecode>(x, n_steps, decoded, total + p / 2);
                return;
            }
        }
        visit<kBoth, 1, kDecode>(x, n_steps, decoded, total + p / 2);
    }

    // What goes on beside a step.
    struct Beside {
        float* total;
        const float* sum;
        __m512 scale;
        const uint8_t* from;
        const uint8_t* ahead;
        ptrdiff_t stride;
        bf16_t (*to)[kPanelDepth];
        __mmask64 special;
    };

    // Two of 16 rows: their sums are added, and as many weight rows of the next block are decoded,
    // 32 k of them; a quarter of what comes later in these rows is announced.
    template <bool kAdd, bool kDecode, int kSlot>
    [[gnu::always_inline]] static void slot(const Decoder& decode, Beside& b) noexcept {
        if constexpr (kAdd && (kColumns > 1 || kSlot == 0)) {
            constexpr int kBegin = 2 * kSlot;
            constexpr int kEnd = kColumns > 1 ? kBegin + 2 : 1;
            for (int row = kBegin; row < kEnd; ++row) {
                float* const total = b.total + row * kPanelRows;
                _mm512_store_ps(total, _mm512_fmadd_ps(_mm512_load_ps(b.sum + row * kPanelRows),
                                                       b.scale, _mm512_load_ps(total)));
            }
        }
        if constexpr (kDecode) {
            bf16_t(*const to)[kPanelDepth] = b.to + 2 * kSlot;
            announce_lines<64, kSecondLevel>(b.ahead);
            b.ahead += b.stride;
            if constexpr (F == WeightFormat::bf16) {
                announce_lines<64, kSecondLevel>(b.ahead);
                b.ahead += b.stride;
                _mm512_store_si512(to[0], _mm512_loadu_si512(b.from));
                _mm512_store_si512(to[1], _mm512_loadu_si512(b.from + b.stride));
            } else {
                const Bf16x64 w = decode.normal(load_two(b.from, b.stride), b.special);
                _mm512_store_si512(to[0], w.first);
                _mm512_store_si512(to[1], w.second);
            }
            b.from += 2 * b.stride;
            keep_in_register(b.from);
            keep_in_register(b.ahead);
        }
    }

    // A panel is read from the second cache level, which what else the loop needs must not leave
    // the first for; a single activation row stays there.
    template <int kTileIdx>
    void load_activations(const bf16_t* x) noexcept {
        if constexpr (kColumns == 1)
            tiles_.template load<kTileIdx>(x, kColumnBytes);
        else
            tiles_.template load_once<kTileIdx>(x, kColumnBytes);
    }

    // C tile q begins anew; what it held goes to the workspace. A tile's store waits for its last
    // product, and later ones for the store, so it comes just before the tile is needed.
    template <int kStep, int kQuarter>
    void begin() noexcept {
        put_away<kStep, kQuarter>();
        if constexpr (kStep == 0) tiles_.template zero<kQuarter>();
    }
    template <int kStep, int kQuarter>
    void put_away() noexcept {
        if constexpr (kStep == 0)
            tiles_.template store<kQuarter>(space_.sum(kQuarter, turn_), kColumnBytes);
    }

    // Multiplies 32 k of one or both tiles of weight rows with one or two panels. Where the sibling
    // thread of the core is busy too, instructions on tiles hardly overlap, but what stands between
    // them does, so it is spread evenly.
    template <int kTile, int kPanels, bool kAdd, bool kDecode, int kStep>
    [[gnu::always_inline]] void step(const Decoder& decode,
                                     const DecodedTile* weight,
                                     const bf16_t* x,
                                     Beside& b) noexcept {
        const auto beside = [&]<int... kSlot>() __attribute__((always_inline)) {
            (slot<kAdd, kDecode, kSlot>(decode, b), ...);
        };
        x += kStep * kPanelDepth * kColumns;
        const bf16_t* const x2 = x + a_.panel_distance;
        if constexpr (kTile != kBoth) {
            constexpr int kFirst = 2 * kTile;
            constexpr int kOther = 2 * (1 - kTile);
            tiles_.template load<4>(weight[kTile][kStep], kTileRowBytes);
            load_activations<6>(x);
            beside.template operator()<0, 1>();
            if constexpr (kStep == 0) tiles_.template zero<kFirst>();
            tiles_.template multiply<kFirst, 4, 6>();
            put_away<kStep, kOther>();
            beside.template operator()<2, 3>();
            if constexpr (kPanels == 2) load_activations<7>(x2);
            beside.template operator()<4, 5>();
            if constexpr (kPanels == 2) {
                if constexpr (kStep == 0) tiles_.template zero<kFirst + 1>();
                tiles_.template multiply<kFirst + 1, 4, 7>();
                put_away<kStep, kOther + 1>();
            }
            beside.template operator()<6, 7>();
        } else {
            tiles_.template load<4>(weight[0][kStep], kTileRowBytes);
            beside.template operator()<0>();
            load_activations<6>(x);
            beside.template operator()<1>();
            begin<kStep, 0>();
            tiles_.template multiply<0, 4, 6>();
            beside.template operator()<2>();
            if constexpr (kPanels == 2) load_activations<7>(x2);
            beside.template operator()<3>();
            begin<kStep, 1>();
            if constexpr (kPanels == 2) tiles_.template multiply<1, 4, 7>();
            beside.template operator()<4>();
            tiles_.template load<5>(weight[1][kStep], kTileRowBytes);
            beside.template operator()<5>();
            begin<kStep, 2>();
            tiles_.template multiply<2, 5, 6>();
            beside.template operator()<6>();
            begin<kStep, 3>();
            if constexpr (kPanels == 2) tiles_.template multiply<3, 5, 7>();
            beside.template operator()<7>();
        }
    }

    // One step with what goes on beside it: quarter (kStep - 1) % 4 of the sums that were held
    // before is added, and of tile `decoded` of the next block the same quarter is decoded.
    // Returns whether it must be mended.
    template <int kTile, int kPanels, bool kDecode, int kStep>
    [[gnu::always_inline]] bool step_and_beside(const Decoder& decode,
                                                const DecodedTile* weight,
                                                const bf16_t* x,
                                                int decoded,
                                                const HeldSums& before) noexcept {
        constexpr int kQuarter = (kStep + kSteps - 1) % kSteps;
        // Up to two panels: steps 1 and 2 add what the other tile's visit gave if that is tile 0,
        // step 3 and the next step 0 if it is tile 1.
        constexpr bool kAdd = kTile == kBoth || (kQuarter % 2 < kPanels &&
                                                 kQuarter / 2 == (kStep == 0 ? kTile : 1 - kTile));
        Beside b = {};
        if constexpr (kAdd) {
            const bool exists = (before.quarters >> kQuarter & 1) != 0;
            b.total = exists ? (*before.total)[kQuarter / 2][kQuarter % 2][0] : idle_[0];
            b.sum = space_.sum(kQuarter, kStep == 0 ? 1 - turn_ : turn_)[0];
            b.scale = _mm512_set1_ps(exists ? before.scale[kQuarter / 2] : 0.0f);
            keep_in_register(b.scale);
        }
        if constexpr (kDecode) {
            const TileRows& rows = rows_[decoded];
            b.stride = rows.stride;
            b.from = block(decoded) + kQuarter * kPanelDepth * kWeightBytes<F>;
            b.ahead = rows.first + ahead_.k * kWeightBytes<F> + ahead_.rows * b.stride;
            b.ahead += F == WeightFormat::bf16 ? kQuarter * 64
                                               : kQuarter % 2 * 8 * b.stride + kQuarter / 2 * 64;
            b.to = space_.weight[next_][decoded][kQuarter];
        }
        step<kTile, kPanels, kAdd, kDecode, kStep>(decode, weight, x, b);
        return kDecode && b.special != 0;
    }

    // Multiplies the current block of tile kTile, or of both, with a pair of panels or one. Tile
    // `decoded` of the next block is decoded beside it.
    template <int kTile, int kPanels, bool kDecode>
    [[gnu::noinline]] void visit(const bf16_t* x,
                                 int n_steps,
                                 int decoded,
                                 PairSums* total) noexcept {
        constexpr unsigned kQuarters = kPanels == 2 ? 0x3 : 0x1;
        constexpr unsigned kHeld =
            kTile == kBoth ? kQuarters | kQuarters << 2 : kQuarters << 2 * kTile;
        // One tile's visit puts away what the other one's holds.
        if (kTile != kBoth && (held_.quarters & kHeld) != 0) add_all();
        Decoder decode;
        if constexpr (kDecode) decode.keep_in_registers();
        const DecodedTile* const weight = space_.weight[current_];
        turn_ = 1 - turn_;
        bool special[kSteps] = {};
        special[3] = step_and_beside<kTile, kPanels, kDecode, 0>(decode, weight, x, decoded, late_);
        if (n_steps > 1)
            special[0] =
                step_and_beside<kTile, kPanels, kDecode, 1>(decode, weight, x, decoded, held_);
        if (n_steps > 2)
            special[1] =
                step_and_beside<kTile, kPanels, kDecode, 2>(decode, weight, x, decoded, held_);
        if (n_steps > 3)
            special[2] =
                step_and_beside<kTile, kPanels, kDecode, 3>(decode, weight, x, decoded, held_);
        for (int quarter = n_steps - 1; quarter < kSteps - 1; ++quarter)
            add(held_, quarter);
        late_ = held_;
        held_ = {total, {scale_[0], scale_[1]}, kHeld};
        if constexpr (kDecode)
            if (special[0] | special[1] | special[2] | special[3]) mend(decoded, special);
    }

    // Codes that are no normal numbers are rare, so the visit decodes as if there were none.
    [[gnu::noinline, gnu::cold]] void mend(int tile, const bool (&special)[kSteps]) noexcept {
        const Decoder decode;
        const ptrdiff_t stride = rows_[tile].stride;
        for (int quarter = 0; quarter < kSteps; ++quarter) {
            if (!special[quarter]) continue;
            auto& to = space_.weight[next_][tile][quarter];
            const uint8_t* from = block(tile) + quarter * kPanelDepth;
            for (int row = 0; row < kTileRows; row += 2, from += 2 * stride) {
                const __m512i codes = load_two(from, stride);
                if (!decode.any_special(codes)) continue;
                const Bf16x64 w = decode(codes);
                _mm512_store_si512(to[row], w.first);
                _mm512_store_si512(to[row + 1], w.second);
            }
        }
    }

    void add(const HeldSums& held, int quarter) noexcept {
        if ((held.quarters >> quarter & 1) == 0) return;
        TileSums& total = (*held.total)[quarter / 2][quarter % 2];
        const TileSums& sum = space_.sum(quarter, turn_);
        const __m512 scale = _mm512_set1_ps(held.scale[quarter / 2]);
        for (int row = 0; row < (kColumns > 1 ? kTileRows : 1); ++row)
            _mm512_store_ps(total[row], _mm512_fmadd_ps(_mm512_load_ps(sum[row]), scale,
                                                        _mm512_load_ps(total[row])));
    }

    // What is on its way reaches the totals.
    void add_all() noexcept {
        add(late_, 3);
        late_ = {};
        tiles_.template store<0>(space_.sum(0, turn_), kColumnBytes);
        tiles_.template store<1>(space_.sum(1, turn_), kColumnBytes);
        tiles_.template store<2>(space_.sum(2, turn_), kColumnBytes);
        tiles_.template store<3>(space_.sum(3, turn_), kColumnBytes);
        for (int quarter = 0; quarter < kSteps; ++quarter)
            add(held_, quarter);
        held_ = {};
    }

    const ChunkedProduct& a_;
    Workspace& space_;
    PairSums* total_;
    Tiles tiles_;
    TileRows rows_[2] = {};  // of the next block
    int next_chunk_ = -1;    // its place
    int next_k_ = 0;
    Ahead ahead_ = {};
    float scale_[2] = {1.0f, 1.0f};  // of the current block's tiles
    HeldSums held_ = {};
    HeldSums late_ = {};  // those before, of which quarter 3 is still to be added
    int current_ = 0;     // weight buffer of this block
    int next_ = 0;        // and of the next
    int turn_ = 0;
    alignas(64) TileSums idle_;  // takes sums that do not exist
};

}  // namespace
}  // namespace baltoro::kernels
