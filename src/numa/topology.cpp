#include "numa/topology.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <memory>

#include <fmt/format.h>
#include <hwloc.h>

#include "base/error.h"
#include "numa/cgroup_limit.h"

namespace baltoro::numa {
namespace {

struct Destroy {
    void operator()(hwloc_topology* topology) const noexcept { hwloc_topology_destroy(topology); }
    void operator()(hwloc_bitmap_s* bitmap) const noexcept { hwloc_bitmap_free(bitmap); }
};
using HwlocTopology = std::unique_ptr<hwloc_topology, Destroy>;
using Bitmap = std::unique_ptr<hwloc_bitmap_s, Destroy>;

HwlocTopology new_topology() {
    hwloc_topology_t raw = nullptr;
    if (hwloc_topology_init(&raw) != 0) throw Error("hwloc: cannot create a topology");
    return HwlocTopology(raw);
}

void load(const HwlocTopology& topology) {
    if (hwloc_topology_load(topology.get()) != 0) {
        throw Error("hwloc: cannot read this machine's topology");
    }
}

std::vector<int> cpus_in(hwloc_const_bitmap_t set) {
    std::vector<int> cpus;
    for (int cpu = hwloc_bitmap_first(set); cpu >= 0; cpu = hwloc_bitmap_next(set, cpu)) {
        cpus.push_back(cpu);
    }
    return cpus;
}

// The nodes a core is local to can be several (fast memory beside ordinary memory): the largest is
// the one that holds the experts.
hwloc_obj_t home_node(hwloc_topology_t topology, hwloc_obj_t core) {
    hwloc_obj_t best = nullptr;
    for (hwloc_obj_t node = nullptr;
         (node = hwloc_get_next_obj_by_type(topology, HWLOC_OBJ_NUMANODE, node)) != nullptr;) {
        if (!hwloc_bitmap_isincluded(core->cpuset, node->cpuset)) continue;
        if (best == nullptr ||
            node->attr->numanode.local_memory > best->attr->numanode.local_memory)
            best = node;
    }
    if (best == nullptr) throw Error("hwloc: a core has no NUMA node");
    return best;
}

int efficiency_kind(hwloc_topology_t topology, hwloc_const_bitmap_t cpus) {
    const int kind = hwloc_cpukinds_get_by_cpuset(topology, cpus, 0);
    int efficiency = -1;
    if (kind < 0) return 0;
    if (hwloc_cpukinds_get_info(topology, static_cast<unsigned>(kind), nullptr, &efficiency,
                                nullptr, nullptr, 0) != 0)
        return 0;
    return std::max(efficiency, 0);
}

std::uint64_t last_level_cache_bytes(hwloc_topology_t topology) {
    for (const hwloc_obj_type_t type : {HWLOC_OBJ_L3CACHE, HWLOC_OBJ_L2CACHE, HWLOC_OBJ_L1CACHE}) {
        const hwloc_obj_t cache = hwloc_get_obj_by_type(topology, type, 0);
        if (cache != nullptr && cache->attr->cache.size > 0) return cache->attr->cache.size;
    }
    return 0;
}

Core plain_core(hwloc_topology_t topology, hwloc_const_bitmap_t usable) {
    Core core;
    core.cpus = cpus_in(usable);
    core.efficiency_kind = efficiency_kind(topology, usable);
    return core;
}

// Copies what is inside `allowed` to plain structs.
Topology plain_topology(hwloc_topology_t topology, hwloc_const_bitmap_t allowed) {
    Topology plain;
    std::map<unsigned, std::pair<Node, std::vector<Core>>> by_node;  // key: hwloc's logical order
    // Virtual machines and odd kernels report no cores: every hardware thread counts as one then.
    const bool has_cores = hwloc_get_nbobjs_by_type(topology, HWLOC_OBJ_CORE) > 0;
    const hwloc_obj_type_t type = has_cores ? HWLOC_OBJ_CORE : HWLOC_OBJ_PU;
    const Bitmap usable(hwloc_bitmap_alloc());
    for (hwloc_obj_t core = nullptr;
         (core = hwloc_get_next_obj_by_type(topology, type, core)) != nullptr;) {
        hwloc_bitmap_and(usable.get(), core->cpuset, allowed);
        if (hwloc_bitmap_iszero(usable.get())) continue;
        const hwloc_obj_t home = home_node(topology, core);
        auto& [node, cores] = by_node[home->logical_index];
        node = {static_cast<int>(home->os_index), home->attr->numanode.local_memory};
        cores.push_back(plain_core(topology, usable.get()));
    }
    if (by_node.empty()) throw Error("hwloc: found no core that this process may use");
    for (auto& [logical_index, node_and_cores] : by_node) {
        auto& [node, cores] = node_and_cores;
        std::stable_sort(cores.begin(), cores.end(), [](const Core& a, const Core& b) {
            return a.efficiency_kind > b.efficiency_kind;
        });
        for (Core& core : cores) {
            core.node_idx = static_cast<int>(plain.nodes.size());
            plain.cores.push_back(std::move(core));
        }
        plain.nodes.push_back(node);
    }
    plain.last_level_cache_bytes = last_level_cache_bytes(topology);
    const hwloc_obj_t package = hwloc_get_obj_by_type(topology, HWLOC_OBJ_PACKAGE, 0);
    const char* model =
        package != nullptr ? hwloc_obj_get_info_by_name(package, "CPUModel") : nullptr;
    plain.cpu_model = model != nullptr ? model : "unknown CPU";
    return plain;
}

}  // namespace

Topology discover_topology() {
    const HwlocTopology topology = new_topology();
    // Distances and memory attributes are slow to read and not used; moving this thread from CPU to
    // CPU for cpuid is not worth what it disturbs.
    hwloc_topology_set_flags(topology.get(), HWLOC_TOPOLOGY_FLAG_NO_DISTANCES |
                                                 HWLOC_TOPOLOGY_FLAG_NO_MEMATTRS |
                                                 HWLOC_TOPOLOGY_FLAG_DONT_CHANGE_BINDING);
    load(topology);
    const Bitmap allowed(hwloc_bitmap_dup(hwloc_topology_get_allowed_cpuset(topology.get())));
    const Bitmap bound(hwloc_bitmap_alloc());
    // This thread's mask, which a process starts with from its parent (taskset, a batch system).
    if (hwloc_get_cpubind(topology.get(), bound.get(), HWLOC_CPUBIND_THREAD) == 0) {
        hwloc_bitmap_and(allowed.get(), allowed.get(), bound.get());
    }
    Topology plain = with_memory_everywhere(plain_topology(topology.get(), allowed.get()));
    plain.cpu_limit = cgroup_cpu_limit();
    return plain;
}

Topology synthetic_topology(const std::string& description) {
    const HwlocTopology topology = new_topology();
    if (hwloc_topology_set_synthetic(topology.get(), description.c_str()) != 0) {
        throw Error(fmt::format("hwloc: cannot parse synthetic topology \"{}\"", description));
    }
    load(topology);
    return plain_topology(topology.get(), hwloc_topology_get_allowed_cpuset(topology.get()));
}

int default_thread_count(const Topology& topology) noexcept {
    const int n_cores = static_cast<int>(topology.cores.size());
    // A quota of 3.5 CPUs throttles a fourth thread and everybody who waits for it at a barrier.
    const int granted = topology.cpu_limit > 0
                            ? static_cast<int>(std::min(std::floor(topology.cpu_limit), 1e6))
                            : n_cores;
    return std::max(1, std::min(n_cores, granted));
}

}  // namespace baltoro::numa
