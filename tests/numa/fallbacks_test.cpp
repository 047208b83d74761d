#include "numa/fallbacks.h"

#include <doctest/doctest.h>

#include "numa/team.h"

using namespace baltoro::numa;

namespace {

// Three nodes, of which the one in the middle has cores but no memory.
Topology with_memoryless_node() {
    Topology topology;
    topology.nodes = {{0, 100}, {1, 0}, {2, 100}};
    topology.cores = {{0, {0}, 0}, {0, {1}, 0}, {1, {2}, 1}, {1, {3}, 0}, {2, {4}, 0}};
    return topology;
}

}  // namespace

TEST_CASE("nothing is said where all is as wished") {
    CHECK(fallbacks(synthetic_topology("numa:2 core:2 pu:2"), 8).empty());
    CHECK(
        with_memory_everywhere(synthetic_topology("numa:2 core:2 pu:2")).memoryless_nodes.empty());
}

TEST_CASE("more threads than CPUs are one line with both numbers and the default") {
    const auto lines = fallbacks(synthetic_topology("numa:2 core:2 pu:2"), 9);
    REQUIRE(lines.size() == 1);
    CHECK(lines[0] ==
          "--threads 9: this process may use 8 CPUs, which the threads share by turns; the default "
          "of 4 is faster");
}

TEST_CASE("more threads than the control group grants are one line") {
    Topology topology = synthetic_topology("numa:1 core:8 pu:1");
    topology.cpu_limit = 2.5;
    CHECK(fallbacks(topology, 3).empty());
    const auto lines = fallbacks(topology, 4);
    REQUIRE(lines.size() == 1);
    CHECK(lines[0].find("may use 3 CPUs") != std::string::npos);
    CHECK(lines[0].find("default of 2") != std::string::npos);
}

TEST_CASE("cores of a node without memory count as those of the nearest node with memory") {
    const Topology topology = with_memory_everywhere(with_memoryless_node());
    REQUIRE(topology.nodes.size() == 2);
    CHECK(topology.nodes[1].os_index == 2);
    REQUIRE(topology.cores.size() == 5);
    CHECK(topology.cores[0].cpus == std::vector<int>{2});  // the fastest kind
    for (int i = 0; i < 4; ++i)
        CHECK(topology.cores[i].node_idx == 0);
    CHECK(topology.cores[4].node_idx == 1);
    for (const WorkerPlace& place : place_workers(topology, 5))
        CHECK(topology.nodes[place.node_idx].memory_bytes > 0);
}

TEST_CASE("a node without memory is one line that says whose memory is used") {
    const auto lines = fallbacks(with_memory_everywhere(with_memoryless_node()), 5);
    REQUIRE(lines.size() == 1);
    CHECK(lines[0].find("node 1 has 2 cores and no memory") != std::string::npos);
    CHECK(lines[0].find("weights of node 0") != std::string::npos);
}

TEST_CASE("a machine that does not tell its memory keeps its nodes") {
    Topology topology = with_memoryless_node();
    for (Node& node : topology.nodes)
        node.memory_bytes = 0;
    CHECK(with_memory_everywhere(topology).nodes.size() == 3);
    CHECK(with_memory_everywhere(topology).memoryless_nodes.empty());
}
