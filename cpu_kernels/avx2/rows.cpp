// Row kernels in f32. Up to 128 weight rows have their scales in common, so activations are widened
// and multiplied with the scales once for all of them; a sum is then one chain of multiply-adds per
// lane along the row. For up to kFewRows activation rows each weight is decoded as it is used; for
// more, a stretch of a group of weight rows is decoded and multiplied with tiles of them.

#include <immintrin.h>
#include <string.h>

#include "cpu_kernels/announce.h"
#include "cpu_kernels/avx2/activations.h"
#include "cpu_kernels/avx2/decode.h"
#include "cpu_kernels/avx2/kernels.h"
#include "cpu_kernels/avx2/vector_math.h"
#include "cpu_kernels/registers.h"
#include "cpu_kernels/row_blocks.h"

namespace baltoro::kernels::avx2 {
namespace {

constexpr int kFewRows = 5;
constexpr int kDepth = 512;    // elements of a stretch
constexpr int kManyGroup = 4;  // weight rows decoded together

// What a call needs: products of one scale block's rows, then a decoded stretch, then activations.
struct Scratch {
    BlockDots gate;
    BlockDots up;
    alignas(64) Vec decoded[kDepth / kLanes * kManyGroup];
};

inline float* activations_of(Scratch& scratch) {
    return reinterpret_cast<float*>(&scratch + 1);
}

// A group of weight rows and where to announce what follows: a block's length further on is
// next_step blocks' lengths on.
struct Group {
    const uint8_t* row[kManyGroup];
    const uint8_t* next[kManyGroup];
    int next_step;
    bool is_near;
    int k;
};

template <WeightFormat F, int W>
__attribute__((always_inline)) inline void announce_block(const Group& g, ptrdiff_t j) {
    announce<W, kScaleBlock * kWeightBytes<F>>(
        g.is_near, [&](int s) { return g.next[s] + j * kWeightBytes<F> * g.next_step; });
}

// Calls use(address of each row's block, where it begins, its length in whole units) from begin to
// end, announcing what follows the group. What a last unit lacks comes from copies padded with
// zeros.
template <WeightFormat F, int W, class Use>
inline void for_each_block(const Group& g, ptrdiff_t begin, ptrdiff_t end, const Use& use) {
    const uint8_t* at[W];
    ptrdiff_t j = begin;
    for (; j + kScaleBlock <= end; j += kScaleBlock) {
        announce_block<F, W>(g, j);
        for (int s = 0; s < W; ++s)
            at[s] = g.row[s] + j * kWeightBytes<F>;
        use(at, j, kScaleBlock);
    }
    if (j == end) return;
    const int rest = static_cast<int>(end - j);
    const int length = (rest + kUnit - 1) / kUnit * kUnit;
    uint8_t padded[W][kScaleBlock * kWeightBytes<F>] = {};
    for (int s = 0; s < W; ++s) {
        memcpy(padded[s], g.row[s] + j * kWeightBytes<F>,
               static_cast<size_t>(rest * kWeightBytes<F>));
        at[s] = padded[s];
    }
    use(at, j, length);
}

// sum[r][s] += a unit of W weight rows times R activation rows, each decoded once for all.
template <WeightFormat F, int R, int W>
inline void multiply_unit(const uint8_t* const (&at)[W],
                          ptrdiff_t u,
                          const float* x,
                          ptrdiff_t stride,
                          Vec (&sum)[R][W],
                          __m256i& largest) {
#pragma GCC unroll 8
    for (int s = 0; s < W; ++s) {
        Unit<F> unit;
        unit.load(at[s] + u * kWeightBytes<F>);
        largest = unit.larger_code(largest);
#pragma GCC unroll 2
        for (int h = 0; h < 2; ++h) {
            Vec w[2];
            unit.widen(h, w[0], w[1]);
#pragma GCC unroll 2
            for (int v = 0; v < 2; ++v)
#pragma GCC unroll 2
                for (int r = 0; r < R; ++r)
                    sum[r][s] = _mm256_fmadd_ps(
                        w[v], _mm256_loadu_ps(x + r * stride + (2 * h + v) * kLanes), sum[r][s]);
        }
    }
}

// The same, one vector of the unit after the other, so that the rows share the loads of
// activations.
template <WeightFormat F, int V, int R, int W>
inline void multiply_vector(const uint8_t* const (&at)[W],
                            ptrdiff_t u,
                            const float* x,
                            ptrdiff_t stride,
                            Vec (&sum)[R][W]) {
    Vec w[W];
#pragma GCC unroll 4
    for (int s = 0; s < W; ++s)
        w[s] = widen_vector<F, V>(at[s] + u * kWeightBytes<F>);
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
        Vec a = _mm256_loadu_ps(x + r * stride + V * kLanes);
        keep_in_register(a);
#pragma GCC unroll 4
        for (int s = 0; s < W; ++s)
            sum[r][s] = _mm256_fmadd_ps(w[s], a, sum[r][s]);
    }
}

// sums[r][s] of W weight rows and R activation rows; the largest code, for NaN.
template <WeightFormat F, int R, int W>
__attribute__((noinline)) __m256i few_dots(const Group& g,
                                           const Activations& a,
                                           Vec (*sums)[W]) noexcept {
    __m256i largest = _mm256_setzero_si256();
    Vec sum[R][W];
    for (int r = 0; r < R; ++r)
        for (int s = 0; s < W; ++s)
            sum[r][s] = _mm256_setzero_ps();
    for_each_block<F, W>(g, 0, g.k, [&](const uint8_t* const(&at)[W], ptrdiff_t j, int length) {
        for (int u = 0; u < length; u += kUnit) {
            const float* const x = a.x + j + u;
            if constexpr (R <= 2) {
                multiply_unit<F, R, W>(at, u, x, a.stride, sum, largest);
            } else {
#pragma GCC unroll 4
                for (int s = 0; s < W; ++s) {
                    Unit<F> unit;
                    unit.load(at[s] + u * kWeightBytes<F>);
                    largest = unit.larger_code(largest);
                }
                multiply_vector<F, 0, R, W>(at, u, x, a.stride, sum);
                multiply_vector<F, 1, R, W>(at, u, x, a.stride, sum);
                multiply_vector<F, 2, R, W>(at, u, x, a.stride, sum);
                multiply_vector<F, 3, R, W>(at, u, x, a.stride, sum);
            }
        }
    });
    for (int r = 0; r < R; ++r)
        for (int s = 0; s < W; ++s)
            sums[r][s] = sum[r][s];
    return largest;
}

// sum[r][s] += a decoded stretch times R activation rows. Loading the activations first leaves
// registers for twelve sums; eight cannot hide the latency of a multiply-add.
template <int R, int W>
inline void multiply_tile(
    const Vec* decoded, int depth, const float* x, ptrdiff_t stride, Vec (*sums)[W]) {
    Vec sum[R][W];
    for (int r = 0; r < R; ++r)
        for (int s = 0; s < W; ++s)
            sum[r][s] = sums[r][s];
    for (int j = 0; j < depth; j += kLanes, decoded += W) {
        Vec a[R];
#pragma GCC unroll 4
        for (int r = 0; r < R; ++r)
            a[r] = _mm256_loadu_ps(x + r * stride + j);
#pragma GCC unroll 4
        for (int s = 0; s < W; ++s) {
            Vec w = decoded[s];
            keep_in_register(w);
#pragma GCC unroll 4
            for (int r = 0; r < R; ++r)
                sum[r][s] = _mm256_fmadd_ps(w, a[r], sum[r][s]);
        }
    }
    for (int r = 0; r < R; ++r)
        for (int s = 0; s < W; ++s)
            sums[r][s] = sum[r][s];
}

// sums[r][s] of W weight rows and many activation rows; the largest code, for NaN.
template <WeightFormat F, int W>
__attribute__((noinline)) __m256i many_dots(const Group& g,
                                            const Activations& a,
                                            Vec* decoded,
                                            Vec (*sums)[W]) noexcept {
    __m256i largest = _mm256_setzero_si256();
    for (int r = 0; r < a.n; ++r)
        for (int s = 0; s < W; ++s)
            sums[r][s] = _mm256_setzero_ps();
    for (ptrdiff_t begin = 0; begin < g.k; begin += kDepth) {
        const ptrdiff_t end = begin + kDepth < g.k ? begin + kDepth : g.k;
        int depth = 0;
        for_each_block<F, W>(g, begin, end,
                             [&](const uint8_t* const(&at)[W], ptrdiff_t, int length) {
                                 for (int u = 0; u < length; u += kUnit, depth += kUnit)
                                     for (int s = 0; s < W; ++s) {
                                         Unit<F> unit;
                                         unit.load(at[s] + u * kWeightBytes<F>);
                                         largest = unit.larger_code(largest);
                                         Vec* const to = decoded + depth / kLanes * W + s;
                                         unit.widen(0, to[0], to[W]);
                                         unit.widen(1, to[2 * W], to[3 * W]);
                                     }
                             });
        const float* x = a.x + begin;
        int r = 0;
        for (; a.n - r == 3 || a.n - r > 4; r += 3)
            multiply_tile<3, W>(decoded, depth, x + r * a.stride, a.stride, sums + r);
        for (; a.n - r >= 2; r += 2)
            multiply_tile<2, W>(decoded, depth, x + r * a.stride, a.stride, sums + r);
    }
    return largest;
}

// The decoder takes NaN codes for numbers; the products of a row that has one are NaN.
template <int W>
__attribute__((noinline)) void spread_nan(const Group& g, int n, int i, BlockDots& dots) noexcept {
    for (int s = 0; s < W; ++s)
        for (int j = 0; j < g.k; ++j)
            if ((g.row[s][j] & 0x7f) == 0x7f)
                for (int r = 0; r < n; ++r)
                    dots[r][i + s] = __builtin_nanf("");
}

// As few_dots or many_dots.
template <WeightFormat F, int W>
inline __m256i group_sums(const Group& g, const Activations& a, Vec* decoded, Vec (*sums)[W]) {
    if (a.n == 1) return few_dots<F, 1, W>(g, a, sums);
    if (a.n == 2) return few_dots<F, 2, W>(g, a, sums);
    if constexpr (W <= 2) {
        static_assert(kFewRows == 5);
        if (a.n == 3) return few_dots<F, 3, W>(g, a, sums);
        if (a.n == 4) return few_dots<F, 4, W>(g, a, sums);
        if (a.n == 5) return few_dots<F, 5, W>(g, a, sums);
    }
    return many_dots<F, W>(g, a, decoded, sums);
}

// dots[r][i + s] of W weight rows.
template <WeightFormat F, int W>
void group_dots(
    const Group& g, const Activations& a, Scratch& scratch, int i, BlockDots& dots) noexcept {
    Vec sums[kMaxRows][W];
    const __m256i largest = group_sums<F, W>(g, a, scratch.decoded, sums);
    const float divisor = F == WeightFormat::fp8_block ? kSumDivisor : 1.0f;
    for (int r = 0; r < a.n; ++r)
        for (int s = 0; s < W; ++s)
            dots[r][i + s] = divisor * add_lanes(sums[r][s]);
    if (F == WeightFormat::fp8_block && has_nan_code(largest)) spread_nan<W>(g, a.n, i, dots);
}

// Rows of w in [begin, end), which have their scales in common; `after` follows them.
template <WeightFormat F, int W>
void block_dots_in(const Weight& w,
                   int begin,
                   int end,
                   const Activations& a,
                   const uint8_t* after,
                   Scratch& scratch,
                   BlockDots& dots) noexcept {
    Group g;
    g.k = w.k;
    g.is_near =
        w.k * (W * kWeightBytes<F> + a.n * static_cast<ptrdiff_t>(sizeof(float))) <= kNearBytes;
    const ptrdiff_t row_bytes = w.stride * kWeightBytes<F>;
    const bool is_dense = w.stride == w.k;
    int i = begin;
    for (; i + W <= end; i += W) {
        const uint8_t* const next = i + 2 * W <= end ? weight_row(w, i + W) : after;
        g.next_step = is_dense ? W : 1;
        for (int s = 0; s < W; ++s) {
            g.row[s] = weight_row(w, i + s);
            g.next[s] = next + s * (is_dense ? kScaleBlock * kWeightBytes<F> : row_bytes);
        }
        group_dots<F, W>(g, a, scratch, i - begin, dots);
    }
    g.next_step = 1;
    for (; i < end; ++i) {
        g.row[0] = g.next[0] = weight_row(w, i);
        group_dots<F, 1>(g, a, scratch, i - begin, dots);
    }
}

template <WeightFormat F>
void block_dots(const Weight& w,
                int begin,
                int end,
                const ActivationRows& x,
                int n,
                const uint8_t* after,
                Scratch& scratch,
                BlockDots& dots) noexcept {
    const Activations a = scale_rows<F>(x, n, w.k, scale_row(w, begin), activations_of(scratch));
    if (n <= 2) return block_dots_in<F, 4>(w, begin, end, a, after, scratch, dots);
    if (n <= kFewRows) return block_dots_in<F, 2>(w, begin, end, a, after, scratch, dots);
    block_dots_in<F, kManyGroup>(w, begin, end, a, after, scratch, dots);
}

template <WeightFormat F>
void product_in(const RowsProduct& a) noexcept {
    Scratch& scratch = *static_cast<Scratch*>(a.scratch);
    if (a.n_rows == 0) return;
    product_in_blocks(
        a, scratch.gate,
        [&](const Weight& w, int begin, int end, const uint8_t* after, BlockDots& dots) {
            block_dots<F>(w, begin, end, {a.x, a.x_stride}, a.n_rows, after, scratch, dots);
        });
}

void gate_times_up(const float* gate, const float* up, bf16_t* dst, int n) noexcept {
    for (int i = 0; i < n; i += kLanes)
        store_first(dst + i, n - i,
                    _mm256_mul_ps(silu_ps(_mm256_loadu_ps(gate + i)), _mm256_loadu_ps(up + i)));
}

template <WeightFormat F>
void gate_up_in(const RowsGateUp& a) noexcept {
    Scratch& scratch = *static_cast<Scratch*>(a.scratch);
    if (a.n_rows == 0) return;
    gate_up_in_blocks(
        a, scratch.gate, scratch.up,
        [&](const Weight& w, int begin, int end, const uint8_t* after, BlockDots& dots) {
            block_dots<F>(w, begin, end, {a.x, a.x_stride}, a.n_rows, after, scratch, dots);
        },
        gate_times_up);
}

}  // namespace

size_t row_scratch_bytes(int k) noexcept {
    return sizeof(Scratch) + static_cast<size_t>(activation_stride(k)) * kMaxRows * sizeof(float);
}

void rows_product(const RowsProduct& a) noexcept {
    with_format(a.w.format, [&]<WeightFormat F>() { product_in<F>(a); });
}

void rows_gate_up(const RowsGateUp& a) noexcept {
    with_format(a.gate.format, [&]<WeightFormat F>() { gate_up_in<F>(a); });
}

}  // namespace baltoro::kernels::avx2
