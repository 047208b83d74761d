#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "weights/checkpoint.h"

namespace baltoro {

struct LoadProgress {
    std::uint64_t done_bytes = 0;
    std::uint64_t total_bytes = 0;
    double seconds = 0;  // since the start
};

// Brings the bytes of the tensors for which `is_needed` says so into the page cache and into this
// process's page tables, without copying them, on `n_threads` threads. `report` is called on one of
// them at a time, at least at the end. Throws Error naming the shard if one shrank or cannot be
// read.
void load_into_page_cache(const Checkpoint& checkpoint,
                          const std::function<bool(std::string_view name)>& is_needed,
                          int n_threads,
                          const std::function<void(const LoadProgress&)>& report);

// The opposite, for tensors that this process does not read again: their pages leave its page
// tables and, unless another process has them mapped, the page cache. Advice to the kernel, which
// may keep them. Bytes of other tensors on the same pages are read from the disk again when they
// are needed.
void drop_from_page_cache(const Checkpoint& checkpoint,
                          const std::function<bool(std::string_view name)>& is_done);

// Shows progress on stderr: a bar that is redrawn with GB, GB/s and the time left on a terminal,
// one line per 10 % elsewhere. One thread at a time.
class ProgressDisplay {
  public:
    // What is loaded, for the text: "weights".
    ProgressDisplay(std::string what, bool is_terminal) noexcept
        : what_(std::move(what)), is_terminal_(is_terminal) {}

    // The text to write for this progress, possibly empty. Progress has to grow.
    std::string text_for(const LoadProgress& progress);

    // Writes text_for(progress) to stderr.
    void show(const LoadProgress& progress);

  private:
    std::string what_;
    bool is_terminal_;
    int shown_tenths_ = 0;
    double shown_seconds_ = -1;
};

}  // namespace baltoro
