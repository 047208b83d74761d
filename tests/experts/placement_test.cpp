#include "experts/placement.h"

#include <vector>

#include <doctest/doctest.h>

#include "tests/experts/plain_kernels.h"
#include "tests/experts/random_experts.h"

using namespace baltoro;
using namespace baltoro::experts;

namespace {

// Workers of a team may sit on nodes that this machine does not have, if they are not pinned.
std::vector<numa::WorkerPlace> on_nodes(const std::vector<int>& nodes) {
    std::vector<numa::WorkerPlace> places;
    for (const int node : nodes)
        places.push_back({node, -1});
    return places;
}

}  // namespace

TEST_CASE("experts are split evenly over the nodes that have workers") {
    const numa::Team team(on_nodes({0, 0, 2, 3, 5}));
    const Placement placement = place_experts(team, 2048);
    CHECK(placement.nodes == std::vector<int>{0, 2, 3, 5});
    REQUIRE(placement.slices.size() == 4);
    for (int j = 0; j < 4; ++j) {
        CHECK(placement.slices[j].begin == 512 * j);
        CHECK(placement.slices[j].end == 512 * (j + 1));
    }
}

TEST_CASE("scale blocks stay whole where they do not divide evenly") {
    const numa::Team team(on_nodes({0, 1}));
    const Placement placement = place_experts(team, 1408);  // 11 blocks
    CHECK(placement.slices[0].end == 640);
    CHECK(placement.slices[1].end == 1408);
}

TEST_CASE("a slice of an expert starts at its first weight and scale") {
    const ExpertShapes shapes{256, 384, 1, 1};
    const testing::RandomExperts experts(1, shapes, 1, 1, kernels::WeightFormat::fp8_block);
    const ExpertWeights& whole = experts.store().expert(0, 0);
    const ExpertWeights slice = slice_of(whole, {128, 384});
    CHECK(slice.gate.n == 256);
    CHECK(slice.down.k == 256);
    CHECK(slice.down.n == 256);
    CHECK(testing::weight_at(slice.up, 3, 200) == testing::weight_at(whole.up, 131, 200));
    CHECK(slice.down.scale == whole.down.scale + 1);
    CHECK(slice.down.stride == 384);
    CHECK(static_cast<const e4m3_t*>(slice.down.data) ==
          static_cast<const e4m3_t*>(whole.down.data) + 128);
}
