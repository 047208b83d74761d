#include "numa/fallbacks.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

namespace baltoro::numa {
namespace {

// CPUs that this process may use at a time, all hardware threads counted.
double usable_cpus(const Topology& topology) {
    double n_cpus = 0;
    for (const Core& core : topology.cores)
        n_cpus += static_cast<double>(core.cpus.size());
    return topology.cpu_limit > 0 ? std::min(n_cpus, std::ceil(topology.cpu_limit)) : n_cpus;
}

}  // namespace

std::vector<std::string> fallbacks(const Topology& topology, int n_threads) {
    std::vector<std::string> lines;
    const double n_cpus = usable_cpus(topology);
    if (n_threads > n_cpus) {
        lines.push_back(fmt::format(
            "--threads {}: this process may use {:.0f} CPUs, which the threads share by "
            "turns; the default of {} is faster",
            n_threads, n_cpus, default_thread_count(topology)));
    }
    for (const MemorylessNode& node : topology.memoryless_nodes) {
        lines.push_back(fmt::format(
            "node {} has {} cores and no memory; they work on the weights of node {}, which is "
            "slower; give every node memory",
            node.os_index, node.n_cores, topology.nodes[node.replacement_idx].os_index));
    }
    return lines;
}

}  // namespace baltoro::numa
