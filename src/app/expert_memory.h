#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "experts/copied_experts.h"
#include "experts/placement.h"
#include "numa/available_memory.h"
#include "numa/team.h"
#include "numa/topology.h"

namespace baltoro {

// The memory that copied experts and everything else need, against what there is.
struct ExpertMemory {
    experts::Placement placement;
    std::vector<std::uint64_t> copied_bytes;  // of each of placement.nodes
    std::uint64_t other_bytes = 0;            // dense weights and KV cache, without a GPU
    numa::AvailableMemory available;
};

struct ExpertChoice {
    bool is_copied = false;
    std::string reason;  // why not, where someone may have expected it; else empty
    // Whether the checkpoint may stay in the page cache beside the copies. A node that is full of
    // it would push copies to other nodes.
    bool keep_cached = true;
};

// Whether to copy the experts. `wish` is --experts: mapped, copied, or auto, which copies where
// there are several NUMA nodes and each has the memory. Throws Error if copies are asked for and
// the machine does not have the memory.
ExpertChoice choose_experts(const std::string& wish,
                            const ExpertMemory& memory,
                            const numa::Topology& topology);

// Copies the experts with progress on stderr, and says in the log what memory they got.
experts::CopiedExperts copy_experts(const experts::CopySource& source,
                                    const experts::Placement& placement,
                                    const numa::Topology& topology,
                                    numa::Team& team);

// "experts: copied to 2 nodes, 1030.41 GB, 2 MB pages 100 %"
std::string copied_line(std::size_t n_nodes, const experts::CopiedMemory& memory);

}  // namespace baltoro
