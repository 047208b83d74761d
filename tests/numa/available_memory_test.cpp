#include "numa/available_memory.h"

#include <doctest/doctest.h>

#include "base/error.h"
#include "numa/cgroup_limit.h"
#include "tests/numa/fake_root.h"

using namespace baltoro::numa;
using baltoro::testing::FakeRoot;

namespace {

constexpr std::uint64_t kMiB = 1 << 20;
const Topology kTwoNodes = synthetic_topology("numa:2 core:1 pu:1");

void write_v2_group(const FakeRoot& root, const std::string& limit) {
    root.write("/proc/self/cgroup", "0::/a/b\n");
    root.write("/proc/self/mountinfo", "30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
    root.write("/sys/fs/cgroup/a/memory.max", limit + "\n");
    root.write("/sys/fs/cgroup/a/memory.current", "629145600\n");  // 600 MiB
    root.write("/sys/fs/cgroup/a/memory.stat", "anon 1\nfile 314572800\nshmem 104857600\n");
    root.write("/sys/fs/cgroup/a/b/memory.max", "max\n");
}

}  // namespace

TEST_CASE("this machine tells how much memory is available in all and on its nodes") {
    const Topology topology = discover_topology();
    const AvailableMemory memory = available_memory(topology);
    CHECK(memory.total_bytes > 10 * kMiB);
    REQUIRE(memory.node_bytes.size() == topology.nodes.size());
    for (const auto& bytes : memory.node_bytes)
        if (bytes) CHECK(*bytes < std::uint64_t{1} << 50);
}

TEST_CASE("a node has its free memory and what the kernel can drop, without shared memory") {
    const FakeRoot root;
    root.write("/proc/meminfo", "MemTotal: 9000 kB\nMemAvailable:    4096 kB\n");
    root.write("/sys/devices/system/node/node0/meminfo",
               "Node 0 MemTotal:  9000 kB\nNode 0 MemFree:  1000 kB\nNode 0 FilePages:  500 kB\n"
               "Node 0 Shmem:  200 kB\nNode 0 SReclaimable:  30 kB\n");
    const AvailableMemory memory = available_memory(kTwoNodes, root.path());
    CHECK(memory.total_bytes == 4 * kMiB);
    REQUIRE(memory.node_bytes.size() == 2);
    CHECK(memory.node_bytes[0] == std::uint64_t{1024} * 1330);
    CHECK(!memory.node_bytes[1]);
}

TEST_CASE("a node without memory has none available") {
    const FakeRoot root;
    root.write("/proc/meminfo", "MemAvailable: 4096 kB\n");
    root.write("/sys/devices/system/node/node1/meminfo",
               "Node 1 MemTotal: 0 kB\nNode 1 MemFree: 0 kB\n");
    CHECK(available_memory(kTwoNodes, root.path()).node_bytes[1] == std::uint64_t{0});
}

TEST_CASE("a control group's memory limit counts, page cache as free") {
    const FakeRoot root;
    root.write("/proc/meminfo", "MemAvailable: 1048576 kB\n");
    write_v2_group(root, "734003200");  // 700 MiB
    CHECK(available_memory(kTwoNodes, root.path()).total_bytes == 300 * kMiB);
    write_v2_group(root, "max");
    CHECK(available_memory(kTwoNodes, root.path()).total_bytes == 1024 * kMiB);
}

TEST_CASE("a version 1 group's memory limit counts") {
    const FakeRoot root;
    root.write("/proc/self/cgroup", "7:memory:/x\n4:cpu,cpuacct:/x\n");
    root.write("/proc/self/mountinfo", "31 23 0:27 / /cg/memory rw - cgroup cgroup rw,memory\n");
    root.write("/cg/memory/memory.limit_in_bytes", "9223372036854771712\n");
    root.write("/cg/memory/x/memory.limit_in_bytes", "104857600\n");
    root.write("/cg/memory/x/memory.usage_in_bytes", "62914560\n");
    root.write("/cg/memory/x/memory.stat", "cache 7\ntotal_cache 20971520\ntotal_shmem 0\n");
    CHECK(cgroup_available_memory(root.path()) == 60 * kMiB);
}

TEST_CASE("a kernel that does not tell the available memory is an error") {
    const FakeRoot root;
    root.write("/proc/meminfo", "MemTotal: 9000 kB\n");
    CHECK_THROWS_AS(available_memory(kTwoNodes, root.path()), baltoro::Error);
}
