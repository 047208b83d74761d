#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "device/gpu_platform.h"

namespace baltoro::device {

// What the launches of a decode step depend on; all else they read from memory.
struct StepKey {
    int n_rows = 0;
    int n_splits = 0;  // of the longest context: see decode_splits()
    std::span<const std::int32_t> logit_rows;
};

// The recordings of the kinds of decode steps that came most recently. Engine thread only.
class StepGraphs {
  public:
    struct Entry {
        std::unique_ptr<GpuGraph> graph;  // null: not recorded yet
        int n_rows = 0;
        int n_splits = 0;
        std::vector<std::int32_t> logit_rows;
        std::uint64_t last_visit = 0;  // 0: free
    };

    // Holds that many; with 0, none.
    explicit StepGraphs(int most) : entries_(static_cast<std::size_t>(most)) {}

    // The entry of a step that has come before, which is worth a recording. Null for one that is
    // new: it takes the place that was visited longest ago. Valid until clear().
    Entry* visit(const StepKey& key);

    // Forgets all: the memory that they use is about to move.
    void clear() noexcept;

  private:
    std::vector<Entry> entries_;
    std::uint64_t n_visits_ = 0;
};

}  // namespace baltoro::device
