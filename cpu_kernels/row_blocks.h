#pragma once

// Row kernels that go through a weight 128 rows at a time, the rows that have their scales in
// common. A level supplies their dots; what follows in memory is passed along, to be announced.

#include "cpu_kernels/weight_rows.h"

namespace baltoro::kernels {
namespace {

// [activation row][weight row of the block]
using BlockDots = float[kMaxRows][kScaleBlock];

// A group of weight rows is announced while the group before it is multiplied. Up to this many
// bytes of weights and of the activations they meet, the first cache level keeps it until it is
// used.
constexpr ptrdiff_t kNearBytes = 16 * 1024;

// Announces `Bytes` at each of W places into the first cache level, or else into the second: what
// the first loses on the way is read from memory again (gate+up of one row on Zen 4: 20 instead of
// 32 GB/s). `place(s)` gives the places. Always inlined: g++ 12 takes a function that only
// prefetches for one without effects and drops calls of it.
template <int W, ptrdiff_t Bytes, int Locality, class Place>
__attribute__((always_inline)) inline void announce_into(const Place& place) {
#pragma GCC unroll 8
    for (int s = 0; s < W; ++s)
#pragma GCC unroll 4
        for (ptrdiff_t line = 0; line < Bytes; line += 64)
            __builtin_prefetch(place(s) + line, 0, Locality);
}

template <int W, ptrdiff_t Bytes, class Place>
__attribute__((always_inline)) inline void announce(bool is_near, const Place& place) {
    if (is_near)
        announce_into<W, Bytes, 3>(place);
    else
        announce_into<W, Bytes, 2>(place);
}

// block_dots(w, begin, end, after, dots) computes those of w's rows begin .. end - 1; `after` is
// read next.
template <class GetDots>
inline void product_in_blocks(const RowsProduct& a, BlockDots& dots, const GetDots& block_dots) {
    for (int i = a.range.begin; i < a.range.end;) {
        const int end = same_scales_end(a.range, i);
        block_dots(a.w, i, end, weight_row(a.w, end < a.range.end ? end : i), dots);
        for (int r = 0; r < a.n_rows; ++r) {
            float* dst = a.dst + (a.gain && a.dst_row ? a.dst_row[r] : r) * a.dst_stride;
            for (int s = i; s < end; ++s)
                dst[s] = a.gain ? dst[s] + a.gain[r] * dots[r][s - i] : dots[r][s - i];
        }
        i = end;
    }
}

// The same; gate_times_up(gate, up, dst, n) writes silu(gate) * up.
template <class GetDots, class GateTimesUp>
inline void gate_up_in_blocks(const RowsGateUp& a,
                              BlockDots& gate,
                              BlockDots& up,
                              const GetDots& block_dots,
                              const GateTimesUp& gate_times_up) {
    for (int i = a.range.begin; i < a.range.end;) {
        const int end = same_scales_end(a.range, i);
        block_dots(a.gate, i, end, weight_row(a.up, i), gate);
        block_dots(a.up, i, end, weight_row(a.gate, end < a.range.end ? end : i), up);
        for (int r = 0; r < a.n_rows; ++r)
            gate_times_up(gate[r], up[r], a.dst + r * a.dst_stride + i, end - i);
        i = end;
    }
}

}  // namespace
}  // namespace baltoro::kernels
