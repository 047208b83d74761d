#pragma once

// Row kernels that go through a weight 128 rows at a time, the rows that have their scales in
// common. A level supplies their dots; what follows in memory is passed along, to be announced.

#include "cpu_kernels/weight_rows.h"

namespace baltoro::kernels {
namespace {

// [activation row][weight row of the block]
using BlockDots = float[kMaxRows][kScaleBlock];

// block_dots(w, begin, end, after, dots) computes those of w's rows begin .. end - 1; `after` is
// read next.
template <class GetDots>
inline void product_in_blocks(const RowsProduct& a, BlockDots& dots, const GetDots& block_dots) {
    for (int i = a.range.begin; i < a.range.end;) {
        const int end = same_scales_end(a.range, i);
        block_dots(a.w, i, end, weight_row(a.w, end < a.range.end ? end : i), dots);
        for (int r = 0; r < a.n_rows; ++r) {
            float* const dst = result_row(a, r);
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
