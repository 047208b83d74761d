#include <algorithm>
#include <cstdint>

#include "numa/team.h"

namespace baltoro::numa {
namespace {

// Divides `n` workers among the nodes in proportion to `weights`, whose sum is not 0.
std::vector<int> spread(int n, const std::vector<int>& weights) {
    std::int64_t total = 0;
    for (const int weight : weights)
        total += weight;
    std::vector<int> counts;
    std::int64_t below = 0;
    for (const int weight : weights) {
        const std::int64_t begin = n * below / total;
        below += weight;
        counts.push_back(static_cast<int>(n * below / total - begin));
    }
    return counts;
}

// Cores of each node that have a hardware thread number `thread_idx`.
std::vector<int> cores_with_thread(const Topology& topology, std::size_t thread_idx) {
    std::vector<int> counts(topology.nodes.size(), 0);
    for (const Core& core : topology.cores)
        if (core.cpus.size() > thread_idx) ++counts[core.node_idx];
    return counts;
}

// Pins the next `counts[node]` workers of each node to hardware thread `thread_idx` of its cores.
void append_pinned(const Topology& topology,
                   std::size_t thread_idx,
                   std::vector<int> counts,
                   std::vector<std::vector<WorkerPlace>>& by_node) {
    for (const Core& core : topology.cores) {
        if (core.cpus.size() <= thread_idx || counts[core.node_idx] == 0) continue;
        --counts[core.node_idx];
        by_node[core.node_idx].push_back({core.node_idx, core.cpus[thread_idx]});
    }
}

}  // namespace

std::vector<WorkerPlace> place_workers(const Topology& topology, int n_threads) {
    std::vector<std::vector<WorkerPlace>> by_node(topology.nodes.size());
    int n_left = n_threads;
    for (std::size_t thread_idx = 0; n_left > 0; ++thread_idx) {
        const std::vector<int> slots = cores_with_thread(topology, thread_idx);
        int n_slots = 0;
        for (const int count : slots)
            n_slots += count;
        if (n_slots == 0) break;
        const int n_now = std::min(n_left, n_slots);
        append_pinned(topology, thread_idx, spread(n_now, slots), by_node);
        n_left -= n_now;
    }
    const std::vector<int> unpinned = spread(n_left, cores_with_thread(topology, 0));
    std::vector<WorkerPlace> places;
    for (std::size_t node = 0; node < by_node.size(); ++node) {
        places.insert(places.end(), by_node[node].begin(), by_node[node].end());
        places.insert(places.end(), unpinned[node], WorkerPlace{static_cast<int>(node), -1});
    }
    return places;
}

Share share_of(int n, int unit, int idx, int n_workers) noexcept {
    const std::int64_t n_units = (static_cast<std::int64_t>(n) + unit - 1) / unit;
    const auto cut = [&](std::int64_t i) {
        return static_cast<int>(std::min<std::int64_t>(n_units * i / n_workers * unit, n));
    };
    return {cut(idx), cut(idx + 1)};
}

}  // namespace baltoro::numa
