#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace baltoro::numa {

// One physical core that this process may use.
struct Core {
    int node_idx = 0;         // index into Topology::nodes
    std::vector<int> cpus;    // operating-system numbers of its allowed hardware threads
    int efficiency_kind = 0;  // 0 = slowest kind; hybrid CPUs have more than one
};

// One NUMA node with memory.
struct Node {
    int os_index = 0;
    std::uint64_t memory_bytes = 0;
};

// A node that has cores but no memory, and whose cores count as another node's.
struct MemorylessNode {
    int os_index = 0;
    int n_cores = 0;
    int replacement_idx = 0;  // index into Topology::nodes
};

// What hwloc found, as plain data: only CPUs in the affinity mask and cgroup count.
struct Topology {
    std::vector<Node> nodes;  // at least one
    std::vector<Core> cores;  // at least one, sorted by node, fastest kind first within a node
    double cpu_limit = 0;     // CPUs' worth of time the cgroup grants; 0 = unlimited
    std::uint64_t last_level_cache_bytes = 0;  // of one such cache
    std::string cpu_model;
    std::vector<MemorylessNode> memoryless_nodes{};
};

// Asks hwloc about this machine, in a few milliseconds. Throws Error if hwloc fails. Call it before
// a Team pins the calling thread, whose affinity mask counts as the process's.
Topology discover_topology();

// The topology of an hwloc synthetic description such as "numa:2 core:4 pu:2", for tests.
Topology synthetic_topology(const std::string& description);

// The same machine without the nodes that have no memory: their cores are given to the node with
// memory whose index is nearest. Unchanged where no node has memory, since then it is not told.
Topology with_memory_everywhere(const Topology& topology);

// Physical cores, one thread each; fewer if the cgroup grants less; at least 1.
int default_thread_count(const Topology& topology) noexcept;

}  // namespace baltoro::numa
