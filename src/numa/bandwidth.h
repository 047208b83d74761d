#pragma once

#include "numa/team.h"

namespace baltoro::numa {

// Bytes per second that the whole team reads from memory larger than its caches: sequential wide
// loads with software prefetch over 2 MB pages where the machine has them; the best of at least two
// passes. Needs up to a gigabyte for a moment; touching it can take longer than `budget_ms`, which
// only decides whether there are more passes.
double measure_read_bandwidth(Team& team, const Topology& topology, int budget_ms = 250);

}  // namespace baltoro::numa
