// Row kernels in f32. Up to 128 weight rows have their scales in common, so activations are widened
// and multiplied with them beforehand. Some weight rows, a strip, are then multiplied together.
// Few activation rows meet weights decoded as they are used; they are cut along k into slices that
// stay in the first cache level while the strip goes by. For many, weights are decoded beforehand.

#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#include "cpu_kernels/announce.h"
#include "cpu_kernels/avx512/kernels.h"
#include "cpu_kernels/avx512/scaled_rows.h"
#include "cpu_kernels/avx512/sum_lanes.h"
#include "cpu_kernels/avx512/unit_halves.h"
#include "cpu_kernels/registers.h"
#include "cpu_kernels/row_blocks.h"

namespace baltoro::kernels::avx512 {
namespace {

constexpr int kFewRows = 8;                   // activation rows
constexpr int kStripRows = 16;                // most weight rows of a strip
constexpr ptrdiff_t kSliceBytes = 24 * 1024;  // of activations
// Units decoded for many rows. Every store delays the multiplications by 0.6 cycles (Emerald
// Rapids), so sums are stored as rarely as the first cache level allows.
constexpr int kStretchUnits = 8;
constexpr int kManyGroup = 8;  // weight rows decoded together for many rows

struct alignas(64) Scratch {
    BlockDots gate;
    BlockDots up;
    __m512 sums[kStripRows * kMaxRows];
    __m512 decoded[kStretchUnits * kUnitVectors * kManyGroup];
};

inline __m512* scaled_part(Scratch& scratch) {
    return reinterpret_cast<__m512*>(&scratch + 1);
}

// n units of some weight rows, and where the piece that follows begins: as many rows, as far apart.
struct Piece {
    const uint8_t* at;
    const uint8_t* next;
    ptrdiff_t row_bytes;
    int n;
};

// The unit to announce while that at `offset` of row s of a piece is used. Short pieces are
// announced while the piece before is used, whole rows two by two as one ascending stream; in long
// ones 2 KB ahead are enough. Other orders are slower on Emerald Rapids, one stream into the second
// level, the best on AMD CPUs, too (README.md).
template <int W, ptrdiff_t UnitBytes>
inline const uint8_t* announced_at(const Piece& piece, int s, ptrdiff_t offset) {
    constexpr ptrdiff_t kAhead = 2048;
    constexpr ptrdiff_t kShort = 4096;
    const ptrdiff_t end = piece.n * UnitBytes;
    if (end > kShort) {
        const ptrdiff_t ahead = offset + kAhead - end;
        return (ahead < 0 ? piece.at + end : piece.next) + s * piece.row_bytes + ahead;
    }
    if (W > 1 && end == piece.row_bytes)
        return piece.next + s / 2 * 2 * end + 2 * offset + s % 2 * UnitBytes;
    return piece.next + s * piece.row_bytes + offset;
}

// Weight rows that have their scales in common.
struct Rows {
    const uint8_t* first;
    ptrdiff_t row_bytes;
    int n;
    int k;
};

// sum += w * a, in its register: left to itself the compiler moves sums around.
inline void accumulate(const __m512& w, const __m512& a, __m512& sum) {
    asm("vfmadd231ps %1, %2, %0" : "+v"(sum) : "v"(w), "v"(a));
}

// sum[r][s] += half H of a unit of W weight rows times R activation rows.
template <int H, int R, int W>
inline void multiply_half(const __m512 (&w)[W][2], const __m512* x, __m512 (&sum)[R][W]) {
#pragma GCC unroll 2
    for (int v = 0; v < 2; ++v)
#pragma GCC unroll 8
        for (int r = 0; r < R; ++r) {
            __m512 a = x[r * kUnitVectors + 2 * H + v];
            keep_in_register(a);
#pragma GCC unroll 8
            for (int s = 0; s < W; ++s)
                accumulate(w[s][v], a, sum[r][s]);
        }
}

// A piece of W weight rows times R activation rows: sums[s * R + r], begun or continued.
template <WeightFormat F, int R, int W>
__attribute__((noinline)) void multiply_slice(const Piece& piece,
                                              const __m512* x,
                                              bool begins,
                                              __m512* sums) noexcept {
    constexpr ptrdiff_t kUnitBytes = kUnit * kWeightBytes<F>;
    __m512 sum[R][W];
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 8
        for (int s = 0; s < W; ++s)
            sum[r][s] = begins ? _mm512_setzero_ps() : sums[s * R + r];
    UnitHalves<F, W> unit;
    for (ptrdiff_t j = 0; j < piece.n * kUnitBytes; j += kUnitBytes) {
#pragma GCC unroll 8
        for (int s = 0; s < W; ++s)
            announce_lines<kUnitBytes, kFirstLevel>(announced_at<W, kUnitBytes>(piece, s, j));
        unit.load(piece.at + j, piece.row_bytes);
        __m512 w[W][2];
        unit.template widen<0>(w);
        multiply_half<0>(w, x, sum);
        unit.template widen<1>(w);
        multiply_half<1>(w, x, sum);
        x += R * kUnitVectors;
    }
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 8
        for (int s = 0; s < W; ++s)
            sums[s * R + r] = sum[r][s];
}

// The part of the last unit that W rows have, zeros behind it.
template <WeightFormat F, int W>
struct LastUnit {
    static constexpr ptrdiff_t kUnitBytes = kUnit * kWeightBytes<F>;
    uint8_t bytes[W][kUnitBytes] = {};

    LastUnit(const uint8_t* at, ptrdiff_t row_bytes, int n) {
        for (int s = 0; s < W; ++s)
            memcpy(bytes[s], at + s * row_bytes, static_cast<size_t>(n) * kWeightBytes<F>);
    }
    Piece piece() const { return {bytes[0], bytes[0], kUnitBytes, 1}; }
};

// dots[r][s] of a strip whose rows are a multiple of W and R activation rows; `next` follows.
template <WeightFormat F, int R, int W>
void few_dots(const Rows& rows,
              const uint8_t* next,
              const ScaledRows& x,
              Scratch& scratch,
              float* dots) noexcept {
    constexpr ptrdiff_t kUnitBytes = kUnit * kWeightBytes<F>;
    constexpr int kMostUnits = static_cast<int>(kSliceBytes / (R * kUnitVectors * sizeof(__m512)));
    __m512* const sums = scratch.sums;
    const int n_whole = rows.k / kUnit;
    const int n_slices = rows.n == W ? 1 : (n_whole + kMostUnits - 1) / kMostUnits;
    for (int slice = 0; slice < n_slices; ++slice) {
        const int u = n_whole * slice / n_slices;
        const int end = n_whole * (slice + 1) / n_slices;
        const uint8_t* const first = rows.first + u * kUnitBytes;
        const uint8_t* const next_slice = end < n_whole ? rows.first + end * kUnitBytes : next;
        for (int i = 0; i < rows.n; i += W) {
            const Piece piece = {
                .at = first + i * rows.row_bytes,
                .next = i + W < rows.n ? first + (i + W) * rows.row_bytes : next_slice,
                .row_bytes = rows.row_bytes,
                .n = end - u};
            multiply_slice<F, R, W>(piece, x.at(u, 0), u == 0, sums + i * R);
        }
    }
    if (const int rest = rows.k - n_whole * kUnit; rest > 0)
        for (int i = 0; i < rows.n; i += W) {
            const LastUnit<F, W> last(rows.first + i * rows.row_bytes + n_whole * kUnitBytes,
                                      rows.row_bytes, rest);
            multiply_slice<F, R, W>(last.piece(), x.at(n_whole, 0), n_whole == 0, sums + i * R);
        }
    add_lanes(sums, rows.n * R, [&](int i, float sum) { dots[i % R * kScaleBlock + i / R] = sum; });
}

// decoded[4 u + v][s] = vector v of unit u of W weight rows.
template <WeightFormat F, int W>
void decode_piece(const Piece& piece, __m512* decoded) noexcept {
    constexpr ptrdiff_t kUnitBytes = kUnit * kWeightBytes<F>;
    UnitHalves<F, 1> unit;
    for (int s = 0; s < W; ++s)
        for (int u = 0; u < piece.n; ++u) {
            const ptrdiff_t at = s * piece.row_bytes + u * kUnitBytes;
            announce_lines<kUnitBytes, kFirstLevel>(piece.next + at);
            unit.load(piece.at + at, 0);
            __m512* const to = decoded + u * kUnitVectors * W + s;
            __m512 w[1][2];
            unit.template widen<0>(w);
            to[0] = w[0][0];
            to[W] = w[0][1];
            unit.template widen<1>(w);
            to[2 * W] = w[0][0];
            to[3 * W] = w[0][1];
        }
}

// sums[r][s] += n decoded units of W weight rows times R activation rows, `stride` vectors between
// their units.
template <int R, int W>
void multiply_decoded(
    const __m512* decoded, int n, const __m512* x, ptrdiff_t stride, __m512* sums) noexcept {
    __m512 sum[R][W];
#pragma GCC unroll 3
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 8
        for (int s = 0; s < W; ++s)
            sum[r][s] = sums[r * W + s];
    for (int u = 0; u < n; ++u, x += stride, decoded += kUnitVectors * W)
#pragma GCC unroll 4
        for (int v = 0; v < kUnitVectors; ++v) {
            __m512 a[R];
#pragma GCC unroll 3
            for (int r = 0; r < R; ++r) {
                a[r] = x[r * kUnitVectors + v];
                keep_in_register(a[r]);
            }
#pragma GCC unroll 8
            for (int s = 0; s < W; ++s) {
                __m512 w = decoded[v * W + s];
                keep_in_register(w);
#pragma GCC unroll 3
                for (int r = 0; r < R; ++r)
                    accumulate(w, a[r], sum[r][s]);
            }
        }
#pragma GCC unroll 3
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 8
        for (int s = 0; s < W; ++s)
            sums[r * W + s] = sum[r][s];
}

// All activation rows from unit u on, in tiles of three and fewer, but of one row only if there are
// no more.
template <int W>
void multiply_stretch(
    const __m512* decoded, int n, const ScaledRows& x, int u, __m512* sums) noexcept {
    const ptrdiff_t stride = static_cast<ptrdiff_t>(x.n) * kUnitVectors;
    int r = 0;
    for (; x.n - r == 3 || x.n - r > 4; r += 3)
        multiply_decoded<3, W>(decoded, n, x.at(u, r), stride, sums + r * W);
    for (; x.n - r >= 2; r += 2)
        multiply_decoded<2, W>(decoded, n, x.at(u, r), stride, sums + r * W);
    if (r < x.n) multiply_decoded<1, W>(decoded, n, x.at(u, r), stride, sums + r * W);
}

// dots[r][s] of W weight rows and all activation rows; `next` follows.
template <WeightFormat F, int W>
void many_dots(const Rows& rows,
               const uint8_t* next,
               const ScaledRows& x,
               Scratch& scratch,
               float* dots) noexcept {
    constexpr ptrdiff_t kUnitBytes = kUnit * kWeightBytes<F>;
    __m512* const sums = scratch.sums;
    for (int i = 0; i < x.n * W; ++i)
        sums[i] = _mm512_setzero_ps();
    const int n_whole = rows.k / kUnit;
    for (int u = 0; u < n_whole; u += kStretchUnits) {
        const int end = n_whole - u < kStretchUnits ? n_whole : u + kStretchUnits;
        const Piece piece = {.at = rows.first + u * kUnitBytes,
                             .next = end < n_whole ? rows.first + end * kUnitBytes : next,
                             .row_bytes = rows.row_bytes,
                             .n = end - u};
        decode_piece<F, W>(piece, scratch.decoded);
        multiply_stretch<W>(scratch.decoded, end - u, x, u, sums);
    }
    if (const int rest = rows.k - n_whole * kUnit; rest > 0) {
        const LastUnit<F, W> last(rows.first + n_whole * kUnitBytes, rows.row_bytes, rest);
        decode_piece<F, W>(last.piece(), scratch.decoded);
        multiply_stretch<W>(scratch.decoded, 1, x, n_whole, sums);
    }
    add_lanes(sums, x.n * W, [&](int i, float sum) { dots[i / W * kScaleBlock + i % W] = sum; });
}

template <WeightFormat F, int W>
void strip_dots(const Rows& rows,
                const uint8_t* next,
                const ScaledRows& x,
                Scratch& scratch,
                float* dots) noexcept {
    if (x.n > kFewRows) {
        if constexpr (W == 1 || W == kManyGroup) many_dots<F, W>(rows, next, x, scratch, dots);
        return;
    }
    static_assert(kFewRows == 8);
    if (x.n == 1) return few_dots<F, 1, W>(rows, next, x, scratch, dots);
    if constexpr (W <= 4) {
        if (x.n == 2) return few_dots<F, 2, W>(rows, next, x, scratch, dots);
        if (x.n == 3) return few_dots<F, 3, W>(rows, next, x, scratch, dots);
        if (x.n == 4) return few_dots<F, 4, W>(rows, next, x, scratch, dots);
    }
    if constexpr (W <= 2) {
        if (x.n == 5) return few_dots<F, 5, W>(rows, next, x, scratch, dots);
        if (x.n == 6) return few_dots<F, 6, W>(rows, next, x, scratch, dots);
        if (x.n == 7) return few_dots<F, 7, W>(rows, next, x, scratch, dots);
        if (x.n == 8) return few_dots<F, 8, W>(rows, next, x, scratch, dots);
    }
}

// Weight rows at a time: those whose sums with n activation rows fit the registers.
inline int group_of(int n) {
    return n == 1 || n > kFewRows ? 8 : n <= 4 ? 4 : 2;
}

// Rows of w in [begin, end), which have their scales in common; `after` follows them.
template <WeightFormat F>
void block_dots(const Weight& w,
                int begin,
                int end,
                const ActivationRows& activations,
                int n_rows,
                const uint8_t* after,
                Scratch& scratch,
                BlockDots& dots) noexcept {
    const ScaledRows x =
        scale_rows<F>(activations, n_rows, w.k, scale_row(w, begin), scaled_part(scratch));
    const int group = group_of(n_rows);
    const int strip = n_rows <= 2 || n_rows > kFewRows ? group : kStripRows;
    for (int i = begin; i < end;) {
        const int left = end - i;
        const int n = left < group ? 1 : left < strip ? left / group * group : strip;
        const Rows rows = {weight_row(w, i), w.stride * kWeightBytes<F>, n, w.k};
        const uint8_t* const next = i + n < end ? weight_row(w, i + n) : after;
        float* const to = &dots[0][i - begin];
        if (n == 1)
            strip_dots<F, 1>(rows, next, x, scratch, to);
        else if (group == 8)
            strip_dots<F, 8>(rows, next, x, scratch, to);
        else if (group == 4)
            strip_dots<F, 4>(rows, next, x, scratch, to);
        else
            strip_dots<F, 2>(rows, next, x, scratch, to);
        i += n;
    }
}

template <WeightFormat F>
void product_in(const RowsProduct& a) noexcept {
    if (a.n_rows == 0) return;
    Scratch& scratch = *static_cast<Scratch*>(a.scratch);
    const ActivationRows x = {a.x, a.x_stride};
    product_in_blocks(
        a, scratch.gate,
        [&](const Weight& w, int begin, int end, const uint8_t* after, BlockDots& dots) {
            block_dots<F>(w, begin, end, x, a.n_rows, after, scratch, dots);
        });
}

template <WeightFormat F>
void gate_up_in(const RowsGateUp& a) noexcept {
    if (a.n_rows == 0) return;
    Scratch& scratch = *static_cast<Scratch*>(a.scratch);
    const ActivationRows x = {a.x, a.x_stride};
    gate_up_in_blocks(
        a, scratch.gate, scratch.up,
        [&](const Weight& w, int begin, int end, const uint8_t* after, BlockDots& dots) {
            block_dots<F>(w, begin, end, x, a.n_rows, after, scratch, dots);
        },
        gate_times_up);
}

}  // namespace

size_t row_scratch_bytes(int k) noexcept {
    return sizeof(Scratch) +
           static_cast<size_t>(n_units(k)) * kUnitVectors * kMaxRows * sizeof(__m512);
}

void rows_product(const RowsProduct& a) noexcept {
    with_format(a.w.format, [&]<WeightFormat F>() { product_in<F>(a); });
}

void rows_gate_up(const RowsGateUp& a) noexcept {
    with_format(a.gate.format, [&]<WeightFormat F>() { gate_up_in<F>(a); });
}

}  // namespace baltoro::kernels::avx512
