#include <algorithm>
#include <cmath>

#include "tests/gpu_check/check_device.h"
#include "tests/gpu_check/mla_values.h"
#include "tests/gpu_check/random_values.h"
#include "tests/gpu_check/weight_case.h"

namespace baltoro::gpu_check {
namespace {

using gpu::MlaShapes;
using gpu::WeightFormat;

struct Case {
    MlaShapes shapes;
    WeightFormat format;
    Fill fill;
    int n_rows;
};

WeightCase kv_b_of(const CheckDevice& device, const Case& c) {
    const MlaShapes& s = c.shapes;
    return WeightCase(device, c.format, s.n_heads * (s.qk_nope_head_dim + s.v_head_dim),
                      s.kv_lora_rank, c.fill, 1);
}

// The nearest bf16 of an f32 sum, which lies within `sum.bound` of its value.
bool is_rounded(const Expected& sum, bf16_t got) {
    const double bound = sum.bound + 0x1p-8 * (std::abs(sum.value) + sum.bound) + 0x1p-133;
    return std::abs(from_bf16(got) - sum.value) <= bound;
}

// A sum of n products: in a chain of at most 16, over at most 8 parts; the scale and the product
// round too. In f32.
Expected expected_sum(const std::vector<double>& terms) {
    Expected sum;
    for (const double term : terms) {
        sum.value += term;
        sum.bound += std::abs(term) * 0x1p-24 * 32;
    }
    return sum;
}

void check_absorb(const CheckDevice& device, const Case& c) {
    CAPTURE(device.name);
    CAPTURE(c.shapes.kv_lora_rank);
    CAPTURE(c.n_rows);
    const MlaShapes& s = c.shapes;
    const WeightCase kv_b = kv_b_of(device, c);
    const std::vector<float> q_values = random_floats(count(c.n_rows, s.n_heads, query_dim(s)), 2);
    const std::vector<float> rope_values = random_rope(s, c.n_rows);
    const DeviceArray<float> q(device, q_values);
    const DeviceArray<float> rope(device, rope_values);
    const DeviceArray<bf16_t> dst(device, count(c.n_rows, s.n_heads, latent_dim(s)));
    device.kernels().absorb_queries(device.stream(),
                                    {s, q.data(), kv_b.view(), rope.data(), c.n_rows, dst.data()});
    const std::vector<bf16_t> out = dst.download();
    int n_wrong = 0;
    for (int r = 0; r < c.n_rows; r++) {
        for (int h = 0; h < s.n_heads; h++) {
            const float* query = q_values.data() + count(r * s.n_heads + h, query_dim(s));
            const bf16_t* got = out.data() + count(r * s.n_heads + h, latent_dim(s));
            const int first = h * (s.qk_nope_head_dim + s.v_head_dim);
            for (int j = 0; j < s.kv_lora_rank; j++) {
                std::vector<double> terms;
                for (int i = 0; i < s.qk_nope_head_dim; i++)
                    terms.push_back(kv_b.at(first + i, j) * static_cast<double>(query[i]));
                n_wrong += is_rounded(expected_sum(terms), got[j]) ? 0 : 1;
            }
            for (int i = 0; i < s.qk_rope_head_dim; i++) {
                const Rotated x = rotated(query + s.qk_nope_head_dim,
                                          rope_values.data() + count(r, s.qk_rope_head_dim), i);
                n_wrong +=
                    is_rounded({x.value, x.magnitude * 0x1p-23}, got[s.kv_lora_rank + i]) ? 0 : 1;
            }
        }
    }
    CHECK(n_wrong == 0);
}

void check_project(const CheckDevice& device, const Case& c) {
    CAPTURE(device.name);
    CAPTURE(c.shapes.kv_lora_rank);
    CAPTURE(c.n_rows);
    const MlaShapes& s = c.shapes;
    const WeightCase kv_b = kv_b_of(device, c);
    const std::vector<bf16_t> context_values =
        random_bf16(count(c.n_rows, s.n_heads, s.kv_lora_rank), 2);
    const DeviceArray<bf16_t> contexts(device, context_values);
    const DeviceArray<bf16_t> dst(device, count(c.n_rows, s.n_heads, s.v_head_dim));
    device.kernels().project_values(device.stream(),
                                    {s, contexts.data(), kv_b.view(), c.n_rows, dst.data()});
    const std::vector<bf16_t> out = dst.download();
    int n_wrong = 0;
    for (int r = 0; r < c.n_rows; r++) {
        for (int h = 0; h < s.n_heads; h++) {
            const bf16_t* context =
                context_values.data() + count(r * s.n_heads + h, s.kv_lora_rank);
            const bf16_t* got = out.data() + count(r * s.n_heads + h, s.v_head_dim);
            const int first = h * (s.qk_nope_head_dim + s.v_head_dim) + s.qk_nope_head_dim;
            for (int i = 0; i < s.v_head_dim; i++) {
                std::vector<double> terms;
                for (int j = 0; j < s.kv_lora_rank; j++)
                    terms.push_back(kv_b.at(first + i, j) * from_bf16(context[j]));
                n_wrong += is_rounded(expected_sum(terms), got[i]) ? 0 : 1;
            }
        }
    }
    CHECK(n_wrong == 0);
}

const MlaShapes kK2Head{1, 512, 128, 64, 128};
const Case kCases[] = {
    {kK2Head, WeightFormat::fp8_block, Fill::all_codes, 2},
    {kK2Tiny, WeightFormat::fp8_block, Fill::normal, 9},
    {kMoonlightTiny, WeightFormat::bf16, Fill::normal, 35},
    {kOdd, WeightFormat::fp8_block, Fill::extremes, 1},
    {kOdd, WeightFormat::bf16, Fill::normal, 3},
};

TEST_CASE("absorb_queries multiplies by W_UK's transpose and rotates the rest") {
    for (const CheckDevice& device : check_devices())
        for (const Case& c : kCases)
            check_absorb(device, c);
}

TEST_CASE("project_values multiplies every head's context by W_UV") {
    for (const CheckDevice& device : check_devices())
        for (const Case& c : kCases)
            check_project(device, c);
}

TEST_CASE("rows of absorb_queries and project_values have the same bits in any company") {
    constexpr int kRows = 34;
    const MlaShapes& s = kK2Tiny;
    for (const CheckDevice& device : check_devices()) {
        CAPTURE(device.name);
        const WeightCase kv_b = kv_b_of(device, {s, WeightFormat::fp8_block, Fill::normal, kRows});
        const std::size_t q_row = count(s.n_heads, query_dim(s));
        const std::size_t latent_row = count(s.n_heads, latent_dim(s));
        const std::size_t context_row = count(s.n_heads, s.kv_lora_rank);
        const std::size_t value_row = count(s.n_heads, s.v_head_dim);
        const DeviceArray<float> q(device, random_floats(kRows * q_row, 2));
        const DeviceArray<float> rope(device, random_rope(s, kRows));
        const DeviceArray<bf16_t> contexts(device, random_bf16(kRows * context_row, 3));
        const auto run = [&](int first, int n, bf16_t* absorbed, bf16_t* projected) {
            const auto at = static_cast<std::size_t>(first);
            device.kernels().absorb_queries(
                device.stream(),
                {s, q.data() + at * q_row, kv_b.view(),
                 rope.data() + count(first, s.qk_rope_head_dim), n, absorbed + at * latent_row});
            device.kernels().project_values(device.stream(),
                                            {s, contexts.data() + at * context_row, kv_b.view(), n,
                                             projected + at * value_row});
        };
        const DeviceArray<bf16_t> absorbed(device, kRows * latent_row);
        const DeviceArray<bf16_t> projected(device, kRows * value_row);
        run(0, kRows, absorbed.data(), projected.data());
        const DeviceArray<bf16_t> absorbed_alone(device, kRows * latent_row);
        const DeviceArray<bf16_t> projected_alone(device, kRows * value_row);
        run(0, 1, absorbed_alone.data(), projected_alone.data());
        run(1, 2, absorbed_alone.data(), projected_alone.data());
        run(3, 30, absorbed_alone.data(), projected_alone.data());
        run(33, 1, absorbed_alone.data(), projected_alone.data());
        CHECK(absorbed.download() == absorbed_alone.download());
        CHECK(projected.download() == projected_alone.download());
    }
}

TEST_CASE("rotate_queries rounds the first part and rotates the second") {
    for (const CheckDevice& device : check_devices()) {
        for (const MlaShapes& s : {kK2Head, kK2Tiny, kOdd}) {
            CAPTURE(device.name);
            CAPTURE(s.qk_rope_head_dim);
            constexpr int kRows = 3;
            const std::size_t n = count(kRows, s.n_heads, query_dim(s));
            const std::vector<float> q_values = random_floats(n, 2);
            const std::vector<float> rope_values = random_rope(s, kRows);
            const DeviceArray<float> q(device, q_values);
            const DeviceArray<float> rope(device, rope_values);
            const DeviceArray<bf16_t> dst(device, n);
            device.kernels().rotate_queries(device.stream(),
                                            {s, q.data(), rope.data(), kRows, dst.data()});
            const std::vector<bf16_t> out = dst.download();
            int n_wrong = 0;
            for (std::size_t at = 0; at < n; at++) {
                const int column = static_cast<int>(at % count(query_dim(s))) - s.qk_nope_head_dim;
                const std::size_t row = at / count(s.n_heads, query_dim(s));
                if (column < 0) {
                    n_wrong += out[at] == bf16_from_float(q_values[at]) ? 0 : 1;
                    continue;
                }
                const Rotated x =
                    rotated(q_values.data() + at - count(column),
                            rope_values.data() + row * count(s.qk_rope_head_dim), column);
                n_wrong += is_rounded({x.value, x.magnitude * 0x1p-23}, out[at]) ? 0 : 1;
            }
            CHECK(n_wrong == 0);
        }
    }
}

TEST_CASE("gather_latent follows the page table from any position") {
    for (const CheckDevice& device : check_devices()) {
        for (const MlaShapes& s : {kK2, kK2Tiny, kOdd}) {
            CAPTURE(device.name);
            CAPTURE(s.kv_lora_rank);
            constexpr int kFirst = 61;
            constexpr int kTokens = 70;
            const std::vector<std::int32_t> table_values = {3, 0, 2};
            const std::vector<bf16_t> page_values = random_pages(s, 4, 2);
            const DeviceArray<std::int32_t> table(device, table_values);
            const DeviceArray<bf16_t> pages(device, page_values);
            const DeviceArray<bf16_t> latent(device, count(kTokens, s.kv_lora_rank));
            const DeviceArray<bf16_t> rope_key(device, count(kTokens, s.qk_rope_head_dim));
            device.kernels().gather_latent(
                device.stream(),
                {s, pages.data(), table.data(), kFirst, kTokens, latent.data(), rope_key.data()});
            const std::vector<bf16_t> latents = latent.download();
            const std::vector<bf16_t> rope_keys = rope_key.download();
            int n_wrong = 0;
            for (int t = 0; t < kTokens; t++) {
                const int position = kFirst + t;
                const int page = table_values[static_cast<std::size_t>(position / 64)];
                const bf16_t* src =
                    page_values.data() + count(page * 64 + position % 64, latent_dim(s));
                const bf16_t* rope_src = src + s.kv_lora_rank;
                n_wrong +=
                    std::equal(src, rope_src, latents.data() + count(t, s.kv_lora_rank)) ? 0 : 1;
                n_wrong += std::equal(rope_src, rope_src + s.qk_rope_head_dim,
                                      rope_keys.data() + count(t, s.qk_rope_head_dim))
                               ? 0
                               : 1;
            }
            CHECK(n_wrong == 0);
        }
    }
}

}  // namespace
}  // namespace baltoro::gpu_check
