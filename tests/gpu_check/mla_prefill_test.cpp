#include <algorithm>
#include <cmath>
#include <limits>

#include "tests/gpu_check/check_device.h"
#include "tests/gpu_check/mla_values.h"
#include "tests/gpu_check/random_values.h"

namespace baltoro::gpu_check {
namespace {

using gpu::MlaShapes;

struct Case {
    MlaShapes shapes;
    int first_position;
    int n_rows;
    std::vector<int> slabs;  // tokens of each, together all positions
    float query_scale;
};

constexpr float kScale = 0.13f;

struct Values {
    explicit Values(const Case& c) : Values(c.shapes, c.n_rows, c.first_position, c.query_scale) {}
    Values(const MlaShapes& s, int n_rows, int first_position, float query_scale)
        : q(random_bf16(count(n_rows, s.n_heads, query_dim(s)), 1, query_scale)),
          kv(random_bf16(
              count(first_position + n_rows, s.n_heads, s.qk_nope_head_dim + s.v_head_dim), 2)),
          rope_key(random_bf16(count(first_position + n_rows, s.qk_rope_head_dim), 3)) {}

    std::vector<bf16_t> q;
    std::vector<bf16_t> kv;
    std::vector<bf16_t> rope_key;
};

// A slab's part of an array of `width` elements per token, alone in its memory.
DeviceArray<bf16_t> slab_of(const CheckDevice& device,
                            const std::vector<bf16_t>& values,
                            int first,
                            int n,
                            std::size_t width) {
    const auto begin = values.begin() + static_cast<std::ptrdiff_t>(count(first) * width);
    return DeviceArray<bf16_t>(
        device, std::vector<bf16_t>(begin, begin + static_cast<std::ptrdiff_t>(count(n) * width)));
}

std::vector<bf16_t> attend(const CheckDevice& device, const Case& c, const Values& values) {
    const MlaShapes& s = c.shapes;
    const DeviceArray<bf16_t> q(device, values.q);
    const DeviceArray<float> sums(device, count(c.n_rows, s.n_heads, s.v_head_dim));
    const DeviceArray<float> extrema(device, count(c.n_rows, s.n_heads, 2));
    const DeviceArray<bf16_t> dst(device, count(c.n_rows, s.n_heads, s.v_head_dim));
    int first = 0;
    for (const int n : c.slabs) {
        const DeviceArray<bf16_t> kv = slab_of(device, values.kv, first, n,
                                               count(s.n_heads, s.qk_nope_head_dim + s.v_head_dim));
        const DeviceArray<bf16_t> rope_key =
            slab_of(device, values.rope_key, first, n, count(s.qk_rope_head_dim));
        const bool is_last = first + n == c.first_position + c.n_rows;
        device.kernels().mla_prefill(
            device.stream(),
            {s, q.data(), kv.data(), rope_key.data(), kScale, c.n_rows, c.first_position, first, n,
             first == 0, is_last, sums.data(), extrema.data(), dst.data()});
        kv.download();  // waits, so that the slab's arrays may go
        first += n;
    }
    REQUIRE(first == c.first_position + c.n_rows);
    sums.download();
    extrema.download();
    return dst.download();
}

struct Weights {
    std::vector<double> values;  // of the tokens that the row sees
    double bound = 0;            // relative, before they are rounded
};

Weights weights_of(const Case& c, const Values& values, int r, int head) {
    const MlaShapes& s = c.shapes;
    const bf16_t* q = values.q.data() + count(r * s.n_heads + head, query_dim(s));
    Weights result;
    double largest = 0;
    double max = -std::numeric_limits<double>::infinity();
    for (int t = 0; t <= c.first_position + r; t++) {
        const bf16_t* key =
            values.kv.data() + count(t * s.n_heads + head, s.qk_nope_head_dim + s.v_head_dim);
        const bf16_t* rope_key = values.rope_key.data() + count(t, s.qk_rope_head_dim);
        double score = 0;
        double magnitude = 0;
        for (int i = 0; i < query_dim(s); i++) {
            const bf16_t k = i < s.qk_nope_head_dim ? key[i] : rope_key[i - s.qk_nope_head_dim];
            const double term = from_bf16(q[i]) * from_bf16(k);
            score += term;
            magnitude += std::abs(term);
        }
        result.values.push_back(score * static_cast<double>(kScale));
        max = std::max(max, result.values.back());
        // 12 steps of 16 products, each addition half an f32 step, twice that where tensor cores
        // cut; the scale and the difference from the maximum.
        largest = std::max(largest,
                           magnitude * static_cast<double>(kScale) * 0x1p-24 * (2 * 12 * 16 + 8));
    }
    double sum = 0;
    for (double& value : result.values)
        sum += value = std::exp(value - max);
    for (double& value : result.values)
        value /= sum;
    // The maximum's error is shared by all; exp2f is good to two steps.
    result.bound = std::expm1(2 * largest) + 0x1p-22;
    return result;
}

int n_wrong_values(const Case& c, const Values& values, int r, int head, const bf16_t* got) {
    const MlaShapes& s = c.shapes;
    const Weights weights = weights_of(c, values, r, head);
    int n_wrong = 0;
    for (int i = 0; i < s.v_head_dim; i++) {
        double value = 0;
        double magnitude = 0;
        for (std::size_t t = 0; t < weights.values.size(); t++) {
            const std::size_t at =
                (t * count(s.n_heads) + count(head)) * count(s.qk_nope_head_dim + s.v_head_dim) +
                count(s.qk_nope_head_dim + i);
            const double term = weights.values[t] * from_bf16(values.kv[at]);
            value += term;
            magnitude += std::abs(term);
        }
        // Weights are rounded to bf16 for the sums, and not for their own sum; each addition
        // rounds; the result is rounded to bf16.
        const double n_tokens = static_cast<double>(weights.values.size());
        const double sum_bound =
            magnitude * (0x1p-8 + 2 * weights.bound + n_tokens * 0x1p-23 + 0x1p-18);
        const double bound = sum_bound + 0x1p-8 * (std::abs(value) + sum_bound);
        n_wrong += std::abs(from_bf16(got[i]) - value) <= bound ? 0 : 1;
    }
    return n_wrong;
}

void check_case(const CheckDevice& device, const Case& c) {
    CAPTURE(device.name);
    CAPTURE(check_seed());
    CAPTURE(c.shapes.qk_nope_head_dim);
    CAPTURE(c.first_position);
    CAPTURE(c.n_rows);
    CAPTURE(c.slabs.size());
    const MlaShapes& s = c.shapes;
    const Values values(c);
    const std::vector<bf16_t> out = attend(device, c, values);
    int n_wrong = 0;
    for (int r = 0; r < c.n_rows; r++)
        for (int h = 0; h < s.n_heads; h++)
            n_wrong += n_wrong_values(c, values, r, h,
                                      out.data() + count(r * s.n_heads + h, s.v_head_dim));
    CHECK(n_wrong == 0);
}

constexpr MlaShapes kK2Head{1, 512, 128, 64, 128};

TEST_CASE("mla_prefill is the causal softmax, for queries that do not fill a block") {
    for (const CheckDevice& device : check_devices()) {
        check_case(device, {kK2Head, 0, 133, {133}, 0.1f});
        check_case(device, {kK2Tiny, 0, 1, {1}, 0.2f});
        check_case(device, {kK2Tiny, 40, 70, {110}, 0.2f});
        check_case(device, {kMoonlightTiny, 64, 64, {128}, 0.4f});
        check_case(device, {kOdd, 0, 65, {65}, 0.2f});
    }
}

TEST_CASE("mla_prefill carries the softmax from slab to slab") {
    for (const CheckDevice& device : check_devices()) {
        check_case(device, {kK2Head, 200, 17, {64, 100, 53}, 0.1f});
        // A slab that ends at every place of a tile; one that the first rows do not see.
        check_case(device, {kK2Tiny, 100, 140, {65, 63, 1, 70, 41}, 0.2f});
        check_case(device, {kMoonlightTiny, 0, 150, {30, 110, 10}, 0.4f});
    }
}

TEST_CASE("mla_prefill keeps a weight of one where a score stands out") {
    // Scores of several hundred, of both signs: exp2 must see differences from the maximum only.
    for (const CheckDevice& device : check_devices())
        check_case(device, {kMoonlightTiny, 10, 60, {50, 20}, 30.0f});
}

}  // namespace
}  // namespace baltoro::gpu_check
