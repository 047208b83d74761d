#include "app/expert_memory.h"

#include <unistd.h>

#include <chrono>
#include <numeric>

#include <fmt/format.h>

#include "base/error.h"
#include "base/log.h"
#include "weights/load_progress.h"

namespace baltoro {
namespace {

double gigabytes(std::uint64_t bytes) {
    return 1e-9 * static_cast<double>(bytes);
}

std::string nodes_text(std::size_t n_nodes) {
    return n_nodes == 1 ? "1 node" : fmt::format("{} nodes", n_nodes);
}

std::uint64_t all_copied_bytes(const ExpertMemory& memory) {
    return std::accumulate(memory.copied_bytes.begin(), memory.copied_bytes.end(),
                           std::uint64_t{0});
}

// Whether every node has memory for `n_copies` times its copy and its part of everything else.
// Returns what the first that has not lacks, in words; empty if none lacks any.
std::string what_lacks(const ExpertMemory& memory, const numa::Topology& topology, int n_copies) {
    const std::uint64_t n = static_cast<std::uint64_t>(n_copies);
    const std::uint64_t needed = n * all_copied_bytes(memory) + memory.other_bytes;
    if (needed > memory.available.total_bytes)
        return fmt::format("{:.2f} GB, of which {:.2f} GB are available", gigabytes(needed),
                           gigabytes(memory.available.total_bytes));
    const std::size_t n_nodes = memory.placement.nodes.size();
    for (std::size_t j = 0; j < n_nodes; ++j) {
        const auto node = static_cast<std::size_t>(memory.placement.nodes[j]);
        const std::uint64_t needed_here = n * memory.copied_bytes[j] + memory.other_bytes / n_nodes;
        const std::optional<std::uint64_t> available = memory.available.node_bytes[node];
        if (available && needed_here > *available)
            return fmt::format("{:.2f} GB on node {}, of which {:.2f} GB are available",
                               gigabytes(needed_here), topology.nodes[node].os_index,
                               gigabytes(*available));
    }
    return {};
}

}  // namespace

ExpertChoice choose_experts(const std::string& wish,
                            const ExpertMemory& memory,
                            const numa::Topology& topology) {
    const bool is_worth_it = topology.nodes.size() > 1;
    if (wish == "mapped" || (wish == "auto" && !is_worth_it)) return {};
    const std::uint64_t needed = all_copied_bytes(memory) + memory.other_bytes;
    if (wish == "copied" && needed > memory.available.total_bytes) {
        throw Error(fmt::format(
            "--experts copied: the copies, the other weights and the KV cache need {:.2f} GB, and "
            "{:.2f} GB of memory are available; free memory, use a smaller --ctx-size or --experts "
            "mapped",
            gigabytes(needed), gigabytes(memory.available.total_bytes)));
    }
    if (wish == "auto") {
        const std::string lack = what_lacks(memory, topology, 1);
        if (!lack.empty())
            return {false, fmt::format(", not copied to {}: that would need {}",
                                       nodes_text(memory.placement.nodes.size()), lack)};
    }
    return {true, {}, what_lacks(memory, topology, 2).empty()};
}

std::string copied_line(std::size_t n_nodes, const experts::CopiedMemory& memory) {
    const bool is_huge = memory.huge_page_share >= 0.95;
    return fmt::format("experts: copied to {}, {:.2f} GB, {} {:.0f} %{}", nodes_text(n_nodes),
                       gigabytes(memory.size_bytes), is_huge ? "2 MB pages" : "huge pages asked,",
                       100 * memory.huge_page_share, is_huge ? "" : " granted");
}

experts::CopiedExperts copy_experts(const experts::CopySource& source,
                                    const experts::Placement& placement,
                                    const numa::Topology& topology,
                                    numa::Team& team) {
    const auto begin = std::chrono::steady_clock::now();
    ProgressDisplay display("experts", isatty(STDERR_FILENO) != 0);
    experts::CopiedExperts copied(
        source, placement, topology, team, [&](std::uint64_t done, std::uint64_t total) {
            const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - begin;
            display.show({done, total, taken.count()});
        });
    log_line(copied_line(copied.node_stores().size(), copied.memory()));
    for (const std::string& line : copied.fallbacks())
        log_warning(line);
    return copied;
}

}  // namespace baltoro
