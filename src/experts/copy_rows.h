#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <vector>

#include "base/mapped_file.h"
#include "numa/team.h"

namespace baltoro::experts {

// Rows of a matrix in ordinary memory or in a file.
struct SourceRows {
    const std::byte* data = nullptr;   // row 0; inside the mapping of `file` if there is one
    std::size_t stride_bytes = 0;      // from one row to the next
    const MappedFile* file = nullptr;  // null = ordinary memory
};

// Where a part of every row goes: row r to dst + r * n_bytes.
struct RowTarget {
    std::byte* dst = nullptr;
    std::size_t column = 0;   // bytes from the start of a source row
    std::size_t n_bytes = 0;  // of a row; column + n_bytes <= the source's stride
};

// Copies rows to one or more targets. One thread.
class RowCopier {
  public:
    // Rows of a file are read once, without touching its mapping: straight to the target where it
    // takes whole rows, else by way of a buffer. Throws Error naming the file if it shrank or
    // cannot be read.
    void copy(const SourceRows& src, numa::Share rows, std::span<const RowTarget> targets);

  private:
    void copy_bytes(const SourceRows& src, std::size_t at, std::span<std::byte> dst);

    std::optional<FileReader> reader_;  // of the last file
    std::vector<std::byte> bounce_;     // fits a core's cache
};

}  // namespace baltoro::experts
