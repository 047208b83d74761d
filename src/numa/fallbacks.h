#pragma once

#include <string>
#include <vector>

#include "numa/topology.h"

namespace baltoro::numa {

// One line for each thing about CPUs and nodes that is not as wished for n_threads workers, saying
// what is there and what is used instead; empty if all is well.
std::vector<std::string> fallbacks(const Topology& topology, int n_threads);

}  // namespace baltoro::numa
