#include "experts/expert_executor.h"

#include <cmath>

#include <doctest/doctest.h>

#include "base/error.h"
#include "tests/experts/allocation_count.h"
#include "tests/experts/plain_kernels.h"
#include "tests/experts/random_experts.h"

using namespace baltoro;
using namespace baltoro::experts;
using baltoro::kernels::WeightFormat;
using baltoro::testing::n_allocations;
using baltoro::testing::plain_kernels;
using baltoro::testing::RandomBatch;
using baltoro::testing::RandomExperts;
using baltoro::testing::weight_at;

namespace {

std::vector<numa::WorkerPlace> unpinned(int n) {
    return std::vector<numa::WorkerPlace>(n);
}

// What one row must be, in double, and how far rounding may take it from there.
struct Expected {
    std::vector<double> value;
    std::vector<double> bound;
};

double dot(const kernels::Weight& w, int i, const std::vector<double>& x) {
    double sum = 0;
    for (int j = 0; j < w.k; ++j)
        sum += static_cast<double>(weight_at(w, i, j)) * x[j];
    return sum;
}

double dot_of_magnitudes(const kernels::Weight& w, int i, const std::vector<double>& x) {
    double sum = 0;
    for (int j = 0; j < w.k; ++j)
        sum += std::fabs(static_cast<double>(weight_at(w, i, j)) * x[j]);
    return sum;
}

// silu(gate) * up is rounded to bf16 (2^-9) and comes from f32 sums, whose error is at most
// k eps sum|a||b|; so is the down projection's.
void add_expert(const ExpertWeights& expert,
                const std::vector<double>& x,
                double gain,
                Expected& expected) {
    const double eps = std::ldexp(1.0, -23) * (expert.gate.k + expert.down.k + 16);
    std::vector<double> h(expert.gate.n);
    std::vector<double> h_bound(expert.gate.n);
    for (int i = 0; i < expert.gate.n; ++i) {
        const double gate = dot(expert.gate, i, x);
        const double up = dot(expert.up, i, x);
        h[i] = gate / (1 + std::exp(-gate)) * up;
        const double gate_error = 1.1 * eps * dot_of_magnitudes(expert.gate, i, x);
        const double up_error = eps * dot_of_magnitudes(expert.up, i, x);
        h_bound[i] = std::ldexp(1.0, -9) * std::fabs(h[i]) + gate_error * std::fabs(up) +
                     (std::fabs(gate) + 1) * up_error + gate_error * up_error;
    }
    for (int i = 0; i < expert.down.n; ++i) {
        expected.value[i] += gain * dot(expert.down, i, h);
        expected.bound[i] += gain * (dot_of_magnitudes(expert.down, i, h_bound) * 1.01 +
                                     eps * dot_of_magnitudes(expert.down, i, h));
    }
}

Expected expected_row(const RandomBatch& batch, const ExpertStore& store, int r) {
    const int hidden = batch.shapes.hidden_size;
    const int per_row = batch.shapes.experts_per_row;
    std::vector<double> x(hidden);
    for (int j = 0; j < hidden; ++j)
        x[j] = static_cast<double>(float_from_bf16(batch.x[r * hidden + j]));
    Expected expected{std::vector<double>(hidden), std::vector<double>(hidden)};
    for (int i = r * per_row; i < (r + 1) * per_row; ++i) {
        add_expert(store.expert(0, batch.expert_ids[i]), x, static_cast<double>(batch.gains[i]),
                   expected);
    }
    return expected;
}

void check_rows(const RandomBatch& batch, const ExpertStore& store) {
    const int hidden = batch.shapes.hidden_size;
    for (int r = 0; r < batch.n_rows(); ++r) {
        const Expected expected = expected_row(batch, store, r);
        int n_wrong = 0;
        for (int i = 0; i < hidden; ++i) {
            const double got = static_cast<double>(batch.dst[r * hidden + i]);
            if (!(std::fabs(got - expected.value[i]) <= expected.bound[i])) ++n_wrong;
        }
        CAPTURE(r);
        CHECK(n_wrong == 0);
    }
}

constexpr ExpertShapes kRagged{144, 72, 3, 40};
constexpr int kExperts = 7;

}  // namespace

TEST_CASE("row kernels give the experts' weighted sum for any team and format") {
    for (const WeightFormat format : {WeightFormat::bf16, WeightFormat::fp8_block}) {
        const RandomExperts experts(1, kRagged, 1, kExperts, format);
        const kernels::Table table = plain_kernels();
        for (const int n_workers : {1, 2, 5}) {
            numa::Team team(unpinned(n_workers));
            ExpertExecutor executor(team, table, experts.store(), kRagged);
            for (const int n_rows : {1, 2, 40}) {
                CAPTURE(n_workers);
                CAPTURE(n_rows);
                RandomBatch batch(2, kRagged, n_rows, kExperts);
                executor.run(batch.all());
                check_rows(batch, experts.store());
            }
        }
    }
}

TEST_CASE("panel kernels take the experts with many rows") {
    const RandomExperts experts(3, kRagged, 1, kExperts, WeightFormat::fp8_block);
    for (const int panel_min_rows : {1, 4, 17}) {
        const kernels::Table table = plain_kernels(panel_min_rows);
        numa::Team team(unpinned(3));
        ExpertExecutor executor(team, table, experts.store(), kRagged);
        for (const int n_rows : {1, 9, 40}) {
            CAPTURE(panel_min_rows);
            CAPTURE(n_rows);
            RandomBatch batch(4, kRagged, n_rows, kExperts);
            executor.run(batch.all());
            check_rows(batch, experts.store());
        }
    }
}

TEST_CASE("panels are padded with zeros where rows lay before") {
    const ExpertShapes shapes{32, 40, 1, 17};
    const RandomExperts experts(17, shapes, 1, 1, WeightFormat::bf16);
    const kernels::Table table = plain_kernels(17);
    numa::Team team(unpinned(2));
    ExpertExecutor executor(team, table, experts.store(), shapes);
    RandomBatch batch(18, shapes, 17, 1);
    executor.run(batch.rows(0, 16));
    executor.run(batch.all());
    check_rows(batch, experts.store());
}

TEST_CASE("more experts than one wave holds are all added") {
    const ExpertShapes shapes{16, 8, 12, 120};
    const RandomExperts experts(5, shapes, 1, 700, WeightFormat::bf16);
    const kernels::Table table = plain_kernels(2);
    numa::Team team(unpinned(2));
    ExpertExecutor executor(team, table, experts.store(), shapes);
    RandomBatch batch(6, shapes, 120, 700);
    executor.run(batch.all());
    check_rows(batch, experts.store());
}

TEST_CASE("a row's bits do not depend on the other rows of the batch or on the team") {
    const RandomExperts experts(7, kRagged, 1, kExperts, WeightFormat::fp8_block);
    const kernels::Table table = plain_kernels();
    numa::Team one(unpinned(1));
    numa::Team three(unpinned(3));
    ExpertExecutor alone(one, table, experts.store(), kRagged);
    ExpertExecutor together(three, table, experts.store(), kRagged);
    RandomBatch all(8, kRagged, 30, kExperts);
    RandomBatch single = all;
    together.run(all.all());
    for (int r = 0; r < 30; ++r)
        alone.run(single.rows(r, 1));
    CHECK(all.dst == single.dst);
    RandomBatch five = single;
    for (int r = 0; r < 30; r += 5)
        alone.run(five.rows(r, 5));
    CHECK(five.dst == single.dst);
}

TEST_CASE("run allocates nothing") {
    const RandomExperts experts(9, kRagged, 1, kExperts, WeightFormat::bf16);
    const kernels::Table table = plain_kernels(4);
    numa::Team team(unpinned(2));
    ExpertExecutor executor(team, table, experts.store(), kRagged);
    RandomBatch batch(10, kRagged, 40, kExperts);
    const int before = n_allocations();
    executor.run(batch.all());
    executor.run(batch.rows(0, 1));
    CHECK(n_allocations() == before);
    CHECK(before > 0);
}

TEST_CASE("a batch without experts is zero and one without rows is no work") {
    const ExpertShapes shapes{16, 8, 0, 2};
    const RandomExperts experts(11, shapes, 1, 2, WeightFormat::bf16);
    const kernels::Table table = plain_kernels();
    numa::Team team(unpinned(2));
    ExpertExecutor executor(team, table, experts.store(), shapes);
    RandomBatch batch(12, shapes, 2, 2);
    executor.run(batch.all());
    CHECK(batch.dst == std::vector<float>(32, 0.0f));
    executor.run(batch.rows(0, 0));
    CHECK(executor.last_weight_bytes() == 0);
}

TEST_CASE("weight bytes count each expert once, with its scales") {
    const RandomExperts experts(13, kRagged, 1, kExperts, WeightFormat::fp8_block);
    const kernels::Table table = plain_kernels();
    numa::Team team(unpinned(1));
    ExpertExecutor executor(team, table, experts.store(), kRagged);
    RandomBatch batch(14, kRagged, 2, kExperts);
    batch.expert_ids = {0, 1, 2, 2, 1, 6};
    executor.run(batch.all());
    // 144 x 72 weights and 2 x 1 blocks, three matrices, four experts.
    CHECK(executor.last_weight_bytes() == 4 * 3 * (144 * 72 + 2 * 4));
}

TEST_CASE("an expert id out of range is an error") {
    const RandomExperts experts(15, kRagged, 1, kExperts, WeightFormat::bf16);
    const kernels::Table table = plain_kernels();
    numa::Team team(unpinned(1));
    ExpertExecutor executor(team, table, experts.store(), kRagged);
    RandomBatch batch(16, kRagged, 1, kExperts);
    batch.expert_ids[1] = kExperts;
    CHECK_THROWS_AS(executor.run(batch.all()), Error);
}
