#pragma once

// The router's product in f32. `V` wraps the level's vectors as for transposed_products.h, with
// ordered_bf16(from, to): 2 kLanes bf16 as two vectors in order.

#include "cpu_kernels/kernels.h"

namespace baltoro::kernels {
namespace {

// W weight rows from i on with R activation rows from r0 on.
template <class V, bool kBf16, int W, int R>
void router_tile(const RouterProduct& a, int i, int r0) noexcept {
    typename V::Vec sum[W][R];
    for (int s = 0; s < W; ++s)
        for (int r = 0; r < R; ++r)
            sum[s][r] = V::zero();
    const ptrdiff_t k = a.k;
    ptrdiff_t j = 0;
    for (; j + 2 * V::kLanes <= k; j += 2 * V::kLanes)
        for (int s = 0; s < W; ++s) {
            typename V::Vec w[2];
            if constexpr (kBf16) {
                V::ordered_bf16(reinterpret_cast<const uint8_t*>(a.w_bf16 + (i + s) * k + j), w);
            } else {
                w[0] = V::load(a.w_f32 + (i + s) * k + j);
                w[1] = V::load(a.w_f32 + (i + s) * k + j + V::kLanes);
            }
            for (int r = 0; r < R; ++r) {
                const float* x = a.x + (r0 + r) * k + j;
                sum[s][r] = V::fma(V::load(x), w[0], sum[s][r]);
                sum[s][r] = V::fma(V::load(x + V::kLanes), w[1], sum[s][r]);
            }
        }
    for (int s = 0; s < W; ++s)
        for (int r = 0; r < R; ++r) {
            float total = V::sum(sum[s][r]);
            for (ptrdiff_t end = j; end < k; ++end) {
                const ptrdiff_t at = (i + s) * k + end;
                const float w = kBf16 ? float_from_bf16(a.w_bf16[at]) : a.w_f32[at];
                total += a.x[(r0 + r) * k + end] * w;
            }
            a.dst[static_cast<ptrdiff_t>(r0 + r) * a.n + i + s] = total;
        }
}

template <class V, bool kBf16, int W>
void router_rows(const RouterProduct& a, int i) noexcept {
    int r = 0;
    for (; r + 2 <= a.n_rows; r += 2)
        router_tile<V, kBf16, W, 2>(a, i, r);
    if (r < a.n_rows) router_tile<V, kBf16, W, 1>(a, i, r);
}

template <class V, bool kBf16>
void router_product_in(const RouterProduct& a) noexcept {
    int i = a.range.begin;
    for (; i + 4 <= a.range.end; i += 4)
        router_rows<V, kBf16, 4>(a, i);
    for (; i < a.range.end; ++i)
        router_rows<V, kBf16, 1>(a, i);
}

template <class V>
void router_product_of(const RouterProduct& a) noexcept {
    if (a.w_bf16)
        router_product_in<V, true>(a);
    else
        router_product_in<V, false>(a);
}

}  // namespace
}  // namespace baltoro::kernels
