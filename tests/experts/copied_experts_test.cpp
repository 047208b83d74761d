#include "experts/copied_experts.h"

#include <cstdint>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "experts/expert_executor.h"
#include "tests/experts/expected_rows.h"
#include "tests/experts/plain_kernels.h"
#include "tests/experts/random_experts.h"

using namespace baltoro;
using namespace baltoro::experts;
using baltoro::kernels::WeightFormat;
using baltoro::testing::check_rows;
using baltoro::testing::plain_kernels;
using baltoro::testing::RandomBatch;
using baltoro::testing::RandomExperts;
using baltoro::testing::weight_at;

namespace {

constexpr ExpertShapes kShapes{160, 456, 2, 10};  // 2 and 4 scale blocks, the last ones ragged
constexpr int kMatrix = 160 * 456;
constexpr int kExperts = 4;
const std::string kTwoNodes = "numa:2 core:2 pu:1";
const std::string kFourNodes = "numa:4 core:1 pu:1";

// The workers of a machine that this one need not be.
std::vector<numa::WorkerPlace> unpinned(const numa::Topology& topology, int n_threads) {
    std::vector<numa::WorkerPlace> places = numa::place_workers(topology, n_threads);
    for (numa::WorkerPlace& place : places)
        place.cpu = -1;
    return places;
}

int n_different(const kernels::Weight& copy, const kernels::Weight& whole, int row, int column) {
    int n = 0;
    for (int i = 0; i < copy.n; ++i)
        for (int j = 0; j < copy.k; ++j)
            n += weight_at(copy, i, j) != weight_at(whole, row + i, column + j);
    return n;
}

// What a machine of this kind computes for random rows.
std::vector<float> compute(const RandomExperts& experts,
                           const std::string& machine,
                           int n_threads,
                           int panel_min_rows) {
    const numa::Topology topology = numa::synthetic_topology(machine);
    const kernels::Table table = plain_kernels(panel_min_rows);
    numa::Team team(unpinned(topology, n_threads));
    const CopiedExperts copied({experts.store()},
                               place_experts(team, kShapes.moe_intermediate_size), topology, team);
    ExpertExecutor executor(team, table, copied.node_stores(), kShapes);
    RandomBatch batch(2, kShapes, kShapes.max_rows, kExperts);
    executor.run(batch.all());
    check_rows(batch, experts.store());
    return batch.dst;
}

}  // namespace

TEST_CASE("each node's copy holds its slice of every expert") {
    for (const WeightFormat format : {WeightFormat::bf16, WeightFormat::fp8_block}) {
        const RandomExperts experts(1, kShapes, 2, kExperts, format);
        const numa::Topology topology = numa::synthetic_topology(kTwoNodes);
        numa::Team team(unpinned(topology, 3));
        const Placement placement = place_experts(team, kShapes.moe_intermediate_size);
        const CopiedExperts copied({experts.store()}, placement, topology, team);
        REQUIRE(copied.node_stores().size() == 2);
        for (int node = 0; node < 2; ++node) {
            const int begin = placement.slices[node].begin;
            for (int i = 0; i < 2 * kExperts; ++i) {
                CAPTURE(node);
                CAPTURE(i);
                const int layer = i / kExperts;
                const ExpertWeights& copy = copied.node_stores()[node].expert(layer, i % kExperts);
                const ExpertWeights& whole = experts.store().expert(layer, i % kExperts);
                CHECK(copy.gate.n == placement.slices[node].end - begin);
                CHECK(n_different(copy.gate, whole.gate, begin, 0) == 0);
                CHECK(n_different(copy.up, whole.up, begin, 0) == 0);
                CHECK(n_different(copy.down, whole.down, 0, begin) == 0);
            }
        }
    }
}

TEST_CASE("progress is told after each layer and ends at the total") {
    const RandomExperts experts(3, kShapes, 3, kExperts, WeightFormat::fp8_block);
    const numa::Topology topology = numa::synthetic_topology(kTwoNodes);
    numa::Team team(unpinned(topology, 2));
    std::vector<std::uint64_t> done;
    std::uint64_t total = 0;
    const CopiedExperts copied({experts.store()},
                               place_experts(team, kShapes.moe_intermediate_size), topology, team,
                               [&](std::uint64_t done_bytes, std::uint64_t total_bytes) {
                                   done.push_back(done_bytes);
                                   total = total_bytes;
                               });
    CHECK(total >= 3 * kExperts * 3 * kMatrix);
    CHECK(done == std::vector<std::uint64_t>{total / 3, total / 3 * 2, total});
}

TEST_CASE("several nodes compute the experts' weighted sum") {
    for (const WeightFormat format : {WeightFormat::bf16, WeightFormat::fp8_block}) {
        const RandomExperts experts(4, kShapes, 1, kExperts, format);
        for (const int panel_min_rows : {1, 5, INT32_MAX}) {
            CAPTURE(panel_min_rows);
            compute(experts, kTwoNodes, 4, panel_min_rows);
            compute(experts, kFourNodes, 4, panel_min_rows);
        }
    }
}

TEST_CASE("the bits do not depend on the number of workers per node") {
    const RandomExperts experts(5, kShapes, 1, kExperts, WeightFormat::fp8_block);
    for (const int panel_min_rows : {5, INT32_MAX}) {
        CAPTURE(panel_min_rows);
        const std::vector<float> two = compute(experts, kTwoNodes, 2, panel_min_rows);
        CHECK(compute(experts, kTwoNodes, 3, panel_min_rows) == two);
        CHECK(compute(experts, kTwoNodes, 6, panel_min_rows) == two);
        const std::vector<float> four = compute(experts, kFourNodes, 4, panel_min_rows);
        CHECK(compute(experts, kFourNodes, 9, panel_min_rows) == four);
    }
}

TEST_CASE("nodes' sums are added once after several waves") {
    const ExpertShapes shapes{16, 256, 12, 120};
    constexpr int kMany = 700;  // more than the slots of one wave
    const RandomExperts experts(10, shapes, 1, kMany, WeightFormat::bf16);
    const numa::Topology topology = numa::synthetic_topology(kTwoNodes);
    numa::Team team(unpinned(topology, 2));
    const CopiedExperts copied({experts.store()}, place_experts(team, 256), topology, team);
    const kernels::Table table = plain_kernels(2);
    ExpertExecutor executor(team, table, copied.node_stores(), shapes);
    RandomBatch batch(11, shapes, 120, kMany);
    executor.run(batch.all());
    check_rows(batch, experts.store());
}

TEST_CASE("a node whose slice is empty adds nothing") {
    const ExpertShapes shapes{32, 100, 1, 3};  // one scale block for two nodes
    const RandomExperts experts(6, shapes, 1, 2, WeightFormat::fp8_block);
    const numa::Topology topology = numa::synthetic_topology(kTwoNodes);
    numa::Team team(unpinned(topology, 2));
    const CopiedExperts copied({experts.store()}, place_experts(team, 100), topology, team);
    const kernels::Table table = plain_kernels(1);
    ExpertExecutor executor(team, table, copied.node_stores(), shapes);
    RandomBatch batch(7, shapes, 3, 2);
    executor.run(batch.all());
    check_rows(batch, experts.store());
}

TEST_CASE("experts that live elsewhere take no memory and add nothing") {
    const RandomExperts experts(8, kShapes, 1, kExperts, WeightFormat::bf16);
    const numa::Topology topology = numa::synthetic_topology(kTwoNodes);
    numa::Team team(unpinned(topology, 2));
    Placement placement = place_experts(team, kShapes.moe_intermediate_size);
    placement.lives_elsewhere = {false, true, true, false};
    std::uint64_t total = 0;
    const CopiedExperts copied(
        {experts.store()}, placement, topology, team,
        [&](std::uint64_t, std::uint64_t total_bytes) { total = total_bytes; });
    CHECK(total == 2 * 3 * kMatrix * sizeof(bf16_t));
    CHECK(copied.node_stores()[1].expert(0, 1).up.data == nullptr);
    for (const int panel_min_rows : {4, INT32_MAX}) {
        const kernels::Table table = plain_kernels(panel_min_rows);
        ExpertExecutor executor(team, table, copied.node_stores(), kShapes);
        RandomBatch batch(9, kShapes, kShapes.max_rows, kExperts);
        executor.run(batch.all());
        std::vector<ExpertWeights> here;
        for (int e = 0; e < kExperts; ++e) {
            here.push_back(experts.store().expert(0, e));
            if (placement.lives_elsewhere[e]) here.back().gate.data = nullptr;
        }
        check_rows(batch, ExpertStore(1, kExperts, here));
    }
}

TEST_CASE("an expert that comes takes the place of one that leaves, bit by bit") {
    for (const WeightFormat format : {WeightFormat::bf16, WeightFormat::fp8_block}) {
        for (const std::string& machine : {kTwoNodes, std::string("numa:1 core:2 pu:1")}) {
            CAPTURE(static_cast<int>(format));
            CAPTURE(machine);
            const RandomExperts experts(12, kShapes, 2, kExperts, format);
            const numa::Topology topology = numa::synthetic_topology(machine);
            numa::Team team(unpinned(topology, 2));
            Placement placement = place_experts(team, kShapes.moe_intermediate_size);
            placement.lives_elsewhere = {true, false, false, false, true, false, false, false};
            CopiedExperts copied({experts.store()}, placement, topology, team);
            const std::uint64_t size_bytes = copied.memory().size_bytes;
            const void* place = copied.node_stores()[0].expert(1, 3).gate.data;
            copied.exchange(1, 3, 0, experts.store().expert(1, 0));
            CHECK(copied.memory().size_bytes == size_bytes);
            CHECK(copied.node_stores()[0].expert(1, 0).gate.data == place);
            CHECK(copied.node_stores()[0].expert(1, 3).gate.data == nullptr);
            CHECK(copied.node_stores()[0].expert(0, 0).gate.data == nullptr);
            for (std::size_t j = 0; j < placement.nodes.size(); ++j) {
                const numa::Share slice = placement.slices[j];
                for (const int e : {0, 1, 2}) {
                    const ExpertWeights& copy = copied.node_stores()[j].expert(1, e);
                    const ExpertWeights& whole = experts.store().expert(1, e);
                    CHECK(n_different(copy.gate, whole.gate, slice.begin, 0) == 0);
                    CHECK(n_different(copy.up, whole.up, slice.begin, 0) == 0);
                    CHECK(n_different(copy.down, whole.down, 0, slice.begin) == 0);
                }
            }
            // And back.
            copied.exchange(1, 0, 3, experts.store().expert(1, 3));
            CHECK(copied.node_stores()[0].expert(1, 3).gate.data == place);
            CHECK(n_different(copied.node_stores()[0].expert(1, 3).gate,
                              experts.store().expert(1, 3).gate, placement.slices[0].begin,
                              0) == 0);
        }
    }
}
