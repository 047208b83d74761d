#include "experts/expert_executor.h"

#include <atomic>

#include <doctest/doctest.h>

#include "base/error.h"
#include "tests/experts/allocation_count.h"
#include "tests/experts/expected_rows.h"
#include "tests/experts/plain_kernels.h"
#include "tests/experts/random_experts.h"

using namespace baltoro;
using namespace baltoro::experts;
using baltoro::kernels::WeightFormat;
using baltoro::testing::check_rows;
using baltoro::testing::n_allocations;
using baltoro::testing::plain_kernels;
using baltoro::testing::RandomBatch;
using baltoro::testing::RandomExperts;

namespace {

std::vector<numa::WorkerPlace> unpinned(int n) {
    return std::vector<numa::WorkerPlace>(n);
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

TEST_CASE("panel kernels give the experts' weighted sum for any number of rows") {
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

TEST_CASE("an expert's share of a full batch decides for panels, not its rows") {
    static std::atomic<int> n_panel_calls;
    const RandomExperts experts(3, kRagged, 1, kExperts, WeightFormat::bf16);
    numa::Team team(unpinned(2));
    const auto uses_panels = [&](int panel_min_rows, int n_rows, bool is_prefill) {
        kernels::Table table = plain_kernels(panel_min_rows);
        static const auto panels_gate_up = table.panels_gate_up;
        table.panels_gate_up = [](const kernels::PanelsGateUp& args) noexcept {
            n_panel_calls++;
            panels_gate_up(args);
        };
        ExpertExecutor executor(team, table, experts.store(), kRagged);
        RandomBatch batch(4, kRagged, n_rows, kExperts);
        ExpertBatch rows = batch.all();
        rows.is_prefill = is_prefill;
        n_panel_calls = 0;
        executor.run(rows);
        return n_panel_calls > 0;
    };
    const int share = kRagged.max_rows * kRagged.experts_per_row / kExperts;
    CHECK(uses_panels(share, kRagged.max_rows, true));
    CHECK(uses_panels(share, 1, true));
    CHECK(!uses_panels(share, kRagged.max_rows, false));
    CHECK(!uses_panels(share + 1, kRagged.max_rows, true));
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
