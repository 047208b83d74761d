#include "numa/topology.h"

#include <chrono>
#include <string>

#include <doctest/doctest.h>
#include <sched.h>

#include "base/error.h"
#include "numa/cgroup_limit.h"
#include "tests/numa/fake_root.h"

using namespace baltoro::numa;
using baltoro::testing::FakeRoot;

namespace {

int allowed_cpus() {
    cpu_set_t set;
    CPU_ZERO(&set);
    sched_getaffinity(0, sizeof set, &set);
    return CPU_COUNT(&set);
}

}  // namespace

TEST_CASE("this machine has nodes and cores inside the affinity mask") {
    const Topology topology = discover_topology();
    REQUIRE(!topology.nodes.empty());
    REQUIRE(!topology.cores.empty());
    int n_cpus = 0;
    for (const Core& core : topology.cores) {
        CHECK(core.node_idx >= 0);
        CHECK(core.node_idx < static_cast<int>(topology.nodes.size()));
        CHECK(!core.cpus.empty());
        n_cpus += static_cast<int>(core.cpus.size());
    }
    CHECK(n_cpus <= allowed_cpus());
    CHECK(topology.nodes[0].memory_bytes > 0);
}

TEST_CASE("a process bound to one CPU sees one core") {
    cpu_set_t before;
    CPU_ZERO(&before);
    REQUIRE(sched_getaffinity(0, sizeof before, &before) == 0);
    int last = 0;
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu)
        if (CPU_ISSET(cpu, &before)) last = cpu;
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(last, &one);
    REQUIRE(sched_setaffinity(0, sizeof one, &one) == 0);
    const Topology topology = discover_topology();
    sched_setaffinity(0, sizeof before, &before);
    REQUIRE(topology.cores.size() == 1);
    CHECK(topology.cores[0].cpus == std::vector<int>{last});
    CHECK(default_thread_count(topology) == 1);
}

TEST_CASE("a synthetic machine has its nodes, cores and hardware threads") {
    const Topology topology = synthetic_topology("numa:2 core:4 pu:2");
    CHECK(topology.nodes.size() == 2);
    REQUIRE(topology.cores.size() == 8);
    CHECK(topology.cores[0].cpus == std::vector<int>{0, 1});
    CHECK(topology.cores[3].node_idx == 0);
    CHECK(topology.cores[4].node_idx == 1);
    CHECK(topology.cores[7].cpus == std::vector<int>{14, 15});
    CHECK(default_thread_count(topology) == 8);
}

TEST_CASE("a bad synthetic description is refused") {
    CHECK_THROWS_AS(synthetic_topology("no such thing"), baltoro::Error);
}

TEST_CASE("the cgroup's grant bounds the thread count, rounded down to at least one") {
    Topology topology = synthetic_topology("numa:1 core:8 pu:1");
    topology.cpu_limit = 3.5;
    CHECK(default_thread_count(topology) == 3);
    topology.cpu_limit = 0.5;
    CHECK(default_thread_count(topology) == 1);
    topology.cpu_limit = 100;
    CHECK(default_thread_count(topology) == 8);
}

TEST_CASE("the v2 limit is the tightest of all ancestors") {
    const FakeRoot root;
    root.write("/proc/self/cgroup", "0::/a/b\n");
    root.write("/proc/self/mountinfo",
               "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw\n");
    root.write("/sys/fs/cgroup/a/cpu.max", "250000 100000\n");
    root.write("/sys/fs/cgroup/a/b/cpu.max", "max 100000\n");
    CHECK(cgroup_cpu_limit(root.path()) == doctest::Approx(2.5));
}

TEST_CASE("the v1 limit is read through a container's mount of a subtree") {
    const FakeRoot root;
    root.write("/proc/self/cgroup", "5:cpuset:/\n4:cpu,cpuacct:/docker/x/inner\n");
    root.write("/proc/self/mountinfo",
               "31 23 0:27 /docker/x /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct\n");
    root.write("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n");
    root.write("/sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
    root.write("/sys/fs/cgroup/cpu/inner/cpu.cfs_quota_us", "150000\n");
    root.write("/sys/fs/cgroup/cpu/inner/cpu.cfs_period_us", "100000\n");
    CHECK(cgroup_cpu_limit(root.path()) == doctest::Approx(1.5));
}

TEST_CASE("without cgroup files there is no limit") {
    const FakeRoot root;
    root.write("/proc/self/cgroup", "4:cpu:/\n0::/\n");
    CHECK(cgroup_cpu_limit(root.path()) == 0);
}
