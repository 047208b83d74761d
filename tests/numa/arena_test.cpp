#include "numa/arena.h"

#include <cstdint>
#include <cstring>
#include <fstream>
#include <string>
#include <utility>

#include <doctest/doctest.h>
#include <sys/prctl.h>

#include "numa/topology.h"

using namespace baltoro::numa;

namespace {

bool kernel_grants_huge_pages() {
    std::string text;
    std::getline(std::ifstream("/sys/kernel/mm/transparent_hugepage/enabled"), text);
    return !text.empty() && text.find("[never]") == std::string::npos;
}

constexpr std::size_t kMegabyte = std::size_t{1} << 20;

}  // namespace

TEST_CASE("an arena is zeroed memory of the asked size, aligned to 2 MB") {
    Arena arena(5 * kMegabyte + 3, discover_topology().nodes[0].os_index);
    CHECK(reinterpret_cast<std::uintptr_t>(arena.data()) % (2 * kMegabyte) == 0);
    CHECK(arena.data()[5 * kMegabyte + 2] == std::byte{0});
    std::memset(arena.data(), 7, arena.size_bytes());
    const Arena moved = std::move(arena);
    CHECK(moved.data()[5 * kMegabyte + 2] == std::byte{7});
}

TEST_CASE("a written arena lies in 2 MB pages on its node") {
    const Arena arena(64 * kMegabyte, discover_topology().nodes[0].os_index);
    CHECK(arena.pages().huge_bytes == 0);
    std::memset(arena.data(), 1, arena.size_bytes());
    CHECK(arena.pages().on_node_share == 1);
    if (!kernel_grants_huge_pages()) {
        MESSAGE("skipped: this kernel grants no huge pages");
        return;
    }
    CHECK(arena.pages().huge_bytes > 32 * kMegabyte);
}

TEST_CASE("what is not granted is said in one line each") {
    const Arena on_missing_node(4 * kMegabyte, 900);
    const auto lines = on_missing_node.fallbacks();
    REQUIRE(lines.size() == 2);  // the node, and 2 MB pages, since none is written yet
    CHECK(lines[0].find("node 900 cannot be bound") != std::string::npos);
    CHECK(lines[1].find("2 MB pages") != std::string::npos);
}

TEST_CASE("huge pages that the kernel refuses are one line with both sizes and what to do") {
    const Arena arena(64 * kMegabyte, discover_topology().nodes[0].os_index);
    REQUIRE(prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0) == 0);
    std::memset(arena.data(), 1, arena.size_bytes());
    prctl(PR_SET_THP_DISABLE, 0, 0, 0, 0);
    CHECK(arena.pages().huge_bytes == 0);
    const auto lines = arena.fallbacks();
    REQUIRE(lines.size() == 1);
    CHECK(lines[0].find("only 0.0 of 0.1 GB of weights on node ") == 0);
    CHECK(lines[0].find("transparent_hugepage/enabled") != std::string::npos);
}
