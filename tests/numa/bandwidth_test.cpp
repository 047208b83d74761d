#include "numa/bandwidth.h"

#include <chrono>

#include <doctest/doctest.h>

using namespace baltoro::numa;

TEST_CASE("the bandwidth is that of a memory, not of a cache or a disk") {
    const Topology topology = discover_topology();
    Team team(place_workers(topology, default_thread_count(topology)));
    const double bytes_per_second = measure_read_bandwidth(team, topology, 100);
    CHECK(bytes_per_second > 0.1e9);
    CHECK(bytes_per_second < 100e9 * static_cast<double>(team.size()));
}

TEST_CASE("a figure comes even without a budget") {
    const Topology topology = discover_topology();
    Team team(place_workers(topology, 1));
    CHECK(measure_read_bandwidth(team, topology, 0) > 0);
}
