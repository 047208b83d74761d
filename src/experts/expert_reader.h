#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "experts/expert_store.h"
#include "weights/safetensors.h"

namespace baltoro::experts {

// Reads single experts from the files in which they lie without touching their mappings, so that a
// file that shrank while the program runs is an Error and not a signal. Any thread.
class ExpertReader {
  public:
    // `files` must outlive it. Unless they may stay in the page cache, what was read leaves it.
    ExpertReader(std::span<const SafetensorsFile> files, bool keep_cached)
        : files_(files), keep_cached_(keep_cached) {}

    // The expert, which is whole and lies in the files or in ordinary memory, read into `memory`,
    // which grows as needed and is what the result points into. Throws Error that names the file;
    // then the content of `memory` is undefined.
    ExpertWeights read(const ExpertWeights& expert, std::vector<std::byte>& memory) const;

  private:
    std::span<const SafetensorsFile> files_;
    bool keep_cached_;
};

}  // namespace baltoro::experts
