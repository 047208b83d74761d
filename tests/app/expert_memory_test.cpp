#include "app/expert_memory.h"

#include <doctest/doctest.h>

#include "base/error.h"

using namespace baltoro;

namespace {

const numa::Topology kOneNode{{{0, 100}}, {}, 0, 0, ""};
const numa::Topology kTwoNodes{{{0, 100}, {1, 100}}, {}, 0, 0, ""};

constexpr std::uint64_t kGb = 1'000'000'000;

// Copies of 10 GB on each node and 2 GB of other things.
ExpertMemory on_two_nodes(std::uint64_t total_gb,
                          std::optional<std::uint64_t> first_gb,
                          std::optional<std::uint64_t> second_gb) {
    ExpertMemory memory;
    memory.placement.nodes = {0, 1};
    memory.copied_bytes = {10 * kGb, 10 * kGb};
    memory.other_bytes = 2 * kGb;
    memory.available.total_bytes = total_gb * kGb;
    for (const auto& gb : {first_gb, second_gb})
        memory.available.node_bytes.push_back(gb ? std::optional(*gb * kGb) : std::nullopt);
    return memory;
}

ExpertMemory on_one_node(std::uint64_t total_gb) {
    ExpertMemory memory;
    memory.placement.nodes = {0};
    memory.copied_bytes = {20 * kGb};
    memory.other_bytes = 2 * kGb;
    memory.available = {total_gb * kGb, {total_gb * kGb}};
    return memory;
}

}  // namespace

TEST_CASE("auto maps on one node and says nothing about it") {
    const ExpertChoice choice = choose_experts("auto", on_one_node(1000), kOneNode);
    CHECK(!choice.is_copied);
    CHECK(choice.reason.empty());
}

TEST_CASE("auto copies to several nodes that have the memory") {
    CHECK(choose_experts("auto", on_two_nodes(22, 11, 11), kTwoNodes).is_copied);
    CHECK(choose_experts("auto", on_two_nodes(22, {}, {}), kTwoNodes).is_copied);
}

TEST_CASE("auto maps where the machine or one node lacks memory, with both numbers") {
    const ExpertChoice in_all = choose_experts("auto", on_two_nodes(21, 11, 11), kTwoNodes);
    CHECK(!in_all.is_copied);
    CHECK(in_all.reason ==
          ", not copied to 2 nodes: that would need 22.00 GB, of which 21.00 GB are available");
    const ExpertChoice on_one = choose_experts("auto", on_two_nodes(30, 20, 10), kTwoNodes);
    CHECK(!on_one.is_copied);
    CHECK(on_one.reason ==
          ", not copied to 2 nodes: that would need 11.00 GB on node 1, of which 10.00 GB are "
          "available");
}

TEST_CASE("copies that are asked for are refused only where the machine lacks the memory") {
    CHECK(choose_experts("copied", on_one_node(22), kOneNode).is_copied);
    CHECK(choose_experts("copied", on_two_nodes(22, 20, 2), kTwoNodes).is_copied);
    CHECK_THROWS_WITH_AS(choose_experts("copied", on_one_node(21), kOneNode),
                         doctest::Contains("need 22.00 GB, and 21.00 GB of memory are available"),
                         Error);
}

TEST_CASE("what is mapped stays mapped whatever memory there is") {
    CHECK(!choose_experts("mapped", on_two_nodes(1000, 500, 500), kTwoNodes).is_copied);
}

TEST_CASE("the checkpoint stays in the page cache where it fits beside the copies") {
    CHECK(choose_experts("copied", on_one_node(42), kOneNode).keep_cached);
    CHECK(!choose_experts("copied", on_one_node(41), kOneNode).keep_cached);
    CHECK(!choose_experts("auto", on_two_nodes(60, 40, 20), kTwoNodes).keep_cached);
}

TEST_CASE("the line says how much of the copies is in huge pages") {
    CHECK(copied_line(1, {2'930'000'000, 1.0}) ==
          "experts: copied to 1 node, 2.93 GB, 2 MB pages 100 %");
    CHECK(copied_line(2, {2'930'000'000, 0.37}) ==
          "experts: copied to 2 nodes, 2.93 GB, huge pages asked, 37 % granted");
}
