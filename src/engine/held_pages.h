#pragma once

#include <cstdint>
#include <vector>

#include "engine/prefix_cache.h"
#include "engine/scheduler.h"

namespace baltoro {

// The cached pages that running sequences hold, as of the last step, so that whoever submits can
// tell how many pages a prompt needs of its own. Pages are told by their hashes alone: where two
// are equal by chance, a request waits for a step that should have been refused. The owner locks.
class HeldPages {
  public:
    explicit HeldPages(int n_pages) { hashes_.reserve(static_cast<std::size_t>(n_pages)); }

    // What the cache's pages are now. Allocates nothing.
    void update(const PrefixCache& cache);

    // Of a sequence that has not run: those that it can share with running ones.
    int n_shared_by(const Sequence& sequence) const;

  private:
    std::vector<std::uint64_t> hashes_;  // ascending
    std::uint64_t version_ = 0;          // of the cache
};

}  // namespace baltoro
