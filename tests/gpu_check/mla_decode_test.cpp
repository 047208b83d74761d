#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "tests/gpu_check/check_device.h"
#include "tests/gpu_check/mla_values.h"
#include "tests/gpu_check/random_values.h"

namespace baltoro::gpu_check {
namespace {

using gpu::MlaDecode;
using gpu::MlaShapes;

// Rows of different sequences, each with pages of its own, handed out in reverse. Cache rows that
// no row sees are NaN.
struct Batch {
    Batch(const MlaShapes& mla, const std::vector<int>& lengths, float query_scale) : shapes(mla) {
        int n_pages = 1;
        for (const int n_tokens : lengths) {
            const int n = (n_tokens + gpu::kPageTokens - 1) / gpu::kPageTokens;
            rows.push_back({n_tokens, static_cast<std::int32_t>(page_tables.size())});
            for (int p = 0; p < n; p++)
                page_tables.push_back(n_pages + n - 1 - p);
            n_pages += n;
        }
        const bf16_t nan = 0x7fff;
        pages.assign(count(n_pages, gpu::kPageTokens, latent_dim(shapes)), nan);
        const std::vector<bf16_t> values = random_pages(shapes, n_pages, 3);
        for (const gpu::DecodeRow& row : rows) {
            for (int t = 0; t < row.n_tokens; t++) {
                const std::size_t at = slot(row, t) * count(latent_dim(shapes));
                std::copy_n(values.begin() + static_cast<std::ptrdiff_t>(at), latent_dim(shapes),
                            pages.begin() + static_cast<std::ptrdiff_t>(at));
            }
        }
        queries =
            random_bf16(count(static_cast<int>(rows.size()), shapes.n_heads, latent_dim(shapes)), 4,
                        query_scale);
    }

    std::size_t slot(const gpu::DecodeRow& row, int position) const {
        const std::int32_t page = page_tables[count(row.page_table + position / gpu::kPageTokens)];
        return count(page * gpu::kPageTokens + position % gpu::kPageTokens);
    }
    const bf16_t* latent(const gpu::DecodeRow& row, int position) const {
        return pages.data() + slot(row, position) * count(latent_dim(shapes));
    }
    int longest() const {
        int n = 0;
        for (const gpu::DecodeRow& row : rows)
            n = std::max(n, static_cast<int>(row.n_tokens));
        return n;
    }

    MlaShapes shapes;
    std::vector<gpu::DecodeRow> rows;
    std::vector<std::int32_t> page_tables;
    std::vector<bf16_t> pages;
    std::vector<bf16_t> queries;
};

constexpr float kScale = 0.13f;

// mla_decode and mla_combine of rows [first, first + n); the contexts.
std::vector<bf16_t> contexts_of(
    const CheckDevice& device, const Batch& batch, int first, int n, int n_splits) {
    const MlaShapes& s = batch.shapes;
    const auto rows_begin = batch.rows.begin() + first;
    const std::size_t row_queries = count(s.n_heads, latent_dim(s));
    const DeviceArray<bf16_t> queries(
        device,
        std::vector<bf16_t>(
            batch.queries.begin() + static_cast<std::ptrdiff_t>(count(first) * row_queries),
            batch.queries.begin() + static_cast<std::ptrdiff_t>(count(first + n) * row_queries)));
    const DeviceArray<gpu::DecodeRow> rows(device,
                                           std::vector<gpu::DecodeRow>(rows_begin, rows_begin + n));
    const DeviceArray<std::int32_t> page_tables(device, batch.page_tables);
    const DeviceArray<bf16_t> pages(device, batch.pages);
    const DeviceArray<float> partials(device, count(n, n_splits, s.n_heads, s.kv_lora_rank));
    const DeviceArray<float> extrema(device, count(n, n_splits, s.n_heads, 2));
    const DeviceArray<bf16_t> dst(device, count(n, s.n_heads, s.kv_lora_rank));
    device.kernels().mla_decode(
        device.stream(), {s, queries.data(), rows.data(), page_tables.data(), pages.data(), kScale,
                          n, n_splits, partials.data(), extrema.data()});
    device.kernels().mla_combine(device.stream(), {s, rows.data(), partials.data(), extrema.data(),
                                                   n, n_splits, dst.data()});
    partials.download();
    extrema.download();
    return dst.download();
}

// The softmax over a row's tokens in double, and how far the kernel's may lie from it.
struct Softmax {
    std::vector<double> weights;
    double bound = 0;  // relative, of every weight before it is rounded
};

Softmax softmax_of(const Batch& batch, int r, int head) {
    const MlaShapes& s = batch.shapes;
    const gpu::DecodeRow& row = batch.rows[count(r)];
    const bf16_t* query = batch.queries.data() + count(r * s.n_heads + head, latent_dim(s));
    Softmax result;
    double largest = 0;
    double max = -std::numeric_limits<double>::infinity();
    for (int t = 0; t < row.n_tokens; t++) {
        const bf16_t* latent = batch.latent(row, t);
        double score = 0;
        double magnitude = 0;
        for (int i = 0; i < latent_dim(s); i++) {
            const double term = from_bf16(query[i]) * from_bf16(latent[i]);
            score += term;
            magnitude += std::abs(term);
        }
        result.weights.push_back(score * static_cast<double>(kScale));
        max = std::max(max, result.weights.back());
        // 9 steps of 16 products and 4 parts, each addition half an f32 step, twice that where
        // tensor cores cut; the factors and the difference from the maximum.
        const double roundings = 2 * (9 * 16 + 4) + 8;
        largest = std::max(largest, magnitude * static_cast<double>(kScale) * 0x1p-24 * roundings);
    }
    double sum = 0;
    for (double& weight : result.weights)
        sum += weight = std::exp(weight - max);
    for (double& weight : result.weights)
        weight /= sum;
    // The maximum's error is shared by all; exp2f is good to two steps.
    result.bound = std::expm1(2 * largest) + 0x1p-22;
    return result;
}

int n_wrong_contexts(const Batch& batch, int r, const bf16_t* got) {
    const MlaShapes& s = batch.shapes;
    const gpu::DecodeRow& row = batch.rows[count(r)];
    int n_wrong = 0;
    for (int h = 0; h < s.n_heads; h++) {
        const Softmax softmax = softmax_of(batch, r, h);
        for (int j = 0; j < s.kv_lora_rank; j++) {
            double value = 0;
            double magnitude = 0;
            for (int t = 0; t < row.n_tokens; t++) {
                const double term = softmax.weights[count(t)] * from_bf16(batch.latent(row, t)[j]);
                value += term;
                magnitude += std::abs(term);
            }
            // Weights are rounded to bf16 for the sums, and not for their own sum; each of the
            // n_tokens additions rounds; the result is rounded to bf16.
            const double sum_bound =
                magnitude * (0x1p-8 + 2 * softmax.bound + row.n_tokens * 0x1p-23 + 0x1p-18);
            const double bound = sum_bound + 0x1p-8 * (std::abs(value) + sum_bound);
            const double actual = from_bf16(got[count(h, s.kv_lora_rank) + count(j)]);
            n_wrong += std::abs(actual - value) <= bound ? 0 : 1;
        }
    }
    return n_wrong;
}

void check_batch(const CheckDevice& device, const Batch& batch, int extra_splits) {
    CAPTURE(device.name);
    CAPTURE(batch.shapes.kv_lora_rank);
    const MlaShapes& s = batch.shapes;
    const int n = static_cast<int>(batch.rows.size());
    const std::vector<bf16_t> out =
        contexts_of(device, batch, 0, n, MlaDecode::max_splits(batch.longest()) + extra_splits);
    for (int r = 0; r < n; r++) {
        CAPTURE(batch.rows[count(r)].n_tokens);
        CHECK(n_wrong_contexts(batch, r, out.data() + count(r, s.n_heads, s.kv_lora_rank)) == 0);
    }
}

TEST_CASE("mla_decode is the softmax over a row's tokens, whatever lies behind them") {
    const Batch k2(kK2, {161}, 0.05f);
    const Batch sixteen_heads({17, 512, 128, 64, 128}, {33}, 0.1f);
    const Batch tiny(kK2Tiny, {1, 32, 33, 64, 65, 127, 128, 129, 300}, 0.3f);
    const Batch moonlight(kMoonlightTiny, {7, 200}, 1.0f);
    const Batch odd(kOdd, {130}, 0.1f);
    for (const CheckDevice& device : check_devices()) {
        check_batch(device, k2, 0);
        check_batch(device, sixteen_heads, 0);
        check_batch(device, tiny, 2);
        check_batch(device, moonlight, 0);
        check_batch(device, odd, 0);
    }
}

TEST_CASE("mla_decode takes longer parts where a context would need too many") {
    // 129 parts of 128 would be needed; 104 of 160 are.
    const Batch batch({2, 64, 32, 16, 32}, {128 * 128 + 1, 100}, 0.1f);
    REQUIRE(MlaDecode::max_splits(batch.longest()) == MlaDecode::kMaxSplits);
    for (const CheckDevice& device : check_devices())
        check_batch(device, batch, 0);
}

TEST_CASE("a row of mla_decode has the same bits in any company") {
    const Batch batch(kK2Tiny, {130, 20, 400, 64}, 0.3f);
    const std::size_t row = count(batch.shapes.n_heads, batch.shapes.kv_lora_rank);
    for (const CheckDevice& device : check_devices()) {
        CAPTURE(device.name);
        const std::vector<bf16_t> together = contexts_of(device, batch, 0, 4, 5);
        for (int r = 0; r < 4; r++) {
            CAPTURE(r);
            const int n_tokens = batch.rows[count(r)].n_tokens;
            const std::vector<bf16_t> alone =
                contexts_of(device, batch, r, 1, MlaDecode::max_splits(n_tokens));
            CHECK(std::equal(alone.begin(), alone.end(),
                             together.begin() + static_cast<std::ptrdiff_t>(count(r) * row)));
        }
    }
}

TEST_CASE("mla_decode keeps a weight of one where a score stands out") {
    // Scores of several hundred, of both signs: exp2 must see differences from the maximum only.
    Batch batch(kMoonlightTiny, {97}, 40.0f);
    for (const CheckDevice& device : check_devices())
        check_batch(device, batch, 0);
}

}  // namespace
}  // namespace baltoro::gpu_check
