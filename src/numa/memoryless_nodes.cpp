#include <algorithm>
#include <cstdlib>

#include "numa/topology.h"

namespace baltoro::numa {
namespace {

int nearest_with_memory(const std::vector<Node>& nodes, int node_idx) {
    int best = -1;
    for (int i = 0; i < static_cast<int>(nodes.size()); ++i) {
        if (nodes[i].memory_bytes == 0) continue;
        if (best < 0 || std::abs(i - node_idx) < std::abs(best - node_idx)) best = i;
    }
    return best;
}

}  // namespace

Topology with_memory_everywhere(const Topology& topology) {
    const std::vector<Node>& nodes = topology.nodes;
    const auto has_memory = [](const Node& node) { return node.memory_bytes > 0; };
    if (std::none_of(nodes.begin(), nodes.end(), has_memory)) return topology;
    Topology changed = topology;
    changed.nodes.clear();
    std::vector<int> idx_now;  // of each node with memory
    for (const Node& node : nodes) {
        idx_now.push_back(static_cast<int>(changed.nodes.size()));
        if (has_memory(node)) changed.nodes.push_back(node);
    }
    for (int i = 0; i < static_cast<int>(nodes.size()); ++i) {
        const auto is_here = [&](const Core& core) { return core.node_idx == i; };
        const auto n_cores = std::count_if(topology.cores.begin(), topology.cores.end(), is_here);
        if (has_memory(nodes[i])) continue;
        changed.memoryless_nodes.push_back(
            {nodes[i].os_index, static_cast<int>(n_cores), idx_now[nearest_with_memory(nodes, i)]});
    }
    for (Core& core : changed.cores)
        core.node_idx = idx_now[nearest_with_memory(nodes, core.node_idx)];
    std::stable_sort(changed.cores.begin(), changed.cores.end(), [](const Core& a, const Core& b) {
        return a.node_idx != b.node_idx ? a.node_idx < b.node_idx
                                        : a.efficiency_kind > b.efficiency_kind;
    });
    return changed;
}

}  // namespace baltoro::numa
