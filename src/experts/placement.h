#pragma once

#include <vector>

#include "experts/expert_store.h"
#include "numa/team.h"

namespace baltoro::experts {

// Where the routed experts live. Every expert is split over the NUMA nodes along its intermediate
// dimension: node j holds and computes rows `slices[j]` of gate and up and the same columns of
// down, so each node adds a part of every row's sum and reads only its own memory.
struct Placement {
    std::vector<int> nodes;             // indices into Topology::nodes, ascending
    std::vector<numa::Share> slices;    // of each of `nodes`, at multiples of a scale block
    std::vector<bool> lives_elsewhere;  // [moe_layer_idx * n_experts + expert_idx], for instance on
                                        // the GPU, and takes no memory here; empty = none
};

// Even slices over the nodes on which the team has workers.
Placement place_experts(const numa::Team& team, int moe_intermediate_size);

// The part of an expert in `slice`, where it lies. The scales of a slice of down are not a matrix
// of their own: `down.scale` points at the first block, with the whole matrix's row length.
ExpertWeights slice_of(const ExpertWeights& expert, numa::Share slice) noexcept;

}  // namespace baltoro::experts
