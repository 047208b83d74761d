#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "experts/expert_store.h"
#include "experts/placement.h"
#include "numa/arena.h"
#include "numa/team.h"
#include "numa/topology.h"
#include "weights/safetensors.h"

namespace baltoro::experts {

// Where experts are copied from.
struct CopySource {
    const ExpertStore& experts;
    // The files in whose mappings the experts lie. What lies in none is ordinary memory.
    std::span<const SafetensorsFile> files{};
    // Whether the files may stay in the page cache beside the copies.
    bool keep_cached = true;
};

// Called by the copying thread after each layer, and more often where layers are large, with the
// bytes copied so far and in total.
using CopyProgress = std::function<void(std::uint64_t done_bytes, std::uint64_t total_bytes)>;

// Bytes that CopiedExperts takes on each node of the placement.
std::vector<std::uint64_t> copied_bytes(const ExpertStore& source, const Placement& placement);

// What became of the copies' memory.
struct CopiedMemory {
    std::uint64_t size_bytes = 0;
    double huge_page_share = 1;  // of the bytes, in 2 MB pages
};

// The experts of another store, copied to memory of the NUMA nodes that compute them. Owns the
// copies; the source is not needed afterwards. Any thread reads; nobody may while exchange() runs.
class CopiedExperts {
  public:
    // Copies with all workers, a part of a layer at a time. Files are read, not touched through
    // their mappings; unless they may stay cached, no more of them than one part is in the page
    // cache on their account. Throws Error if memory does not suffice, and one that names the file
    // if it shrank or cannot be read.
    CopiedExperts(const CopySource& source,
                  const Placement& placement,
                  const numa::Topology& topology,
                  numa::Team& team,
                  const CopyProgress& progress = {});

    // One store per node of the placement: the node's slices, and no data for an expert that lives
    // elsewhere.
    std::span<const ExpertStore> node_stores() const noexcept { return stores_; }

    // `coming`, which lives elsewhere and whose weights are given whole, in ordinary memory, is
    // copied to the place of `leaving`, which lives elsewhere from then on. By the calling thread.
    void exchange(int moe_layer_idx, int leaving, int coming, const ExpertWeights& source);

    // Asks the kernel.
    CopiedMemory memory() const;

    // What the machine did not grant, one line each, for the log.
    std::vector<std::string> fallbacks() const;

  private:
    Placement placement_;
    std::vector<numa::Arena> arenas_;
    std::vector<ExpertStore> stores_;
};

}  // namespace baltoro::experts
