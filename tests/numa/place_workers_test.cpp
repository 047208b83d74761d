#include <set>
#include <vector>

#include <doctest/doctest.h>

#include "numa/team.h"

using namespace baltoro::numa;

namespace {

std::vector<int> nodes_of(const std::vector<WorkerPlace>& places) {
    std::vector<int> nodes;
    for (const WorkerPlace& place : places)
        nodes.push_back(place.node_idx);
    return nodes;
}

std::vector<int> cpus_of(const std::vector<WorkerPlace>& places) {
    std::vector<int> cpus;
    for (const WorkerPlace& place : places)
        cpus.push_back(place.cpu);
    return cpus;
}

}  // namespace

TEST_CASE("workers spread over nodes, physical cores first") {
    const Topology topology = synthetic_topology("numa:2 core:2 pu:2");
    const auto places = place_workers(topology, 4);
    CHECK(nodes_of(places) == std::vector<int>{0, 0, 1, 1});
    CHECK(cpus_of(places) == std::vector<int>{0, 2, 4, 6});
}

TEST_CASE("second hardware threads come after all cores") {
    const Topology topology = synthetic_topology("numa:2 core:2 pu:2");
    const auto places = place_workers(topology, 6);
    CHECK(nodes_of(places) == std::vector<int>{0, 0, 0, 1, 1, 1});
    CHECK(cpus_of(places) == std::vector<int>{0, 2, 1, 4, 6, 5});
}

TEST_CASE("fewer workers than cores use every node") {
    const auto places = place_workers(synthetic_topology("numa:4 core:4 pu:1"), 4);
    CHECK(nodes_of(places) == std::vector<int>{0, 1, 2, 3});
}

TEST_CASE("more workers than CPUs are left unpinned") {
    const auto places = place_workers(synthetic_topology("numa:2 core:1 pu:2"), 7);
    REQUIRE(places.size() == 7);
    int n_unpinned = 0;
    for (const WorkerPlace& place : places)
        n_unpinned += place.cpu < 0;
    CHECK(n_unpinned == 3);
    CHECK(places[0].node_idx == 0);
    CHECK(places[6].node_idx == 1);
}

TEST_CASE("hybrid cores are used fastest first") {
    Topology topology;
    topology.nodes.resize(1);
    topology.cores = {{0, {4}, 1}, {0, {5}, 1}, {0, {0}, 0}, {0, {1}, 0}};
    CHECK(cpus_of(place_workers(topology, 3)) == std::vector<int>{4, 5, 0});
}

TEST_CASE("shares cover a range once, cut at multiples of the unit") {
    for (const int n : {0, 1, 15, 16, 17, 2048, 7168}) {
        for (const int n_workers : {1, 2, 3, 7, 64}) {
            int at = 0;
            for (int i = 0; i < n_workers; ++i) {
                CAPTURE(n);
                CAPTURE(n_workers);
                CAPTURE(i);
                const Share share = share_of(n, 16, i, n_workers);
                CHECK(share.begin == at);
                CHECK(share.end >= share.begin);
                CHECK((share.end % 16 == 0 || share.end == n));
                at = share.end;
            }
            CHECK(at == n);
        }
    }
}

TEST_CASE("shares differ by at most one unit") {
    for (int i = 0; i < 7; ++i) {
        const Share share = share_of(7168, 128, i, 7);
        CHECK(share.end - share.begin == 1024);
    }
    CHECK(share_of(2048, 128, 0, 3).end == 640);
}
