#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "base/mapped_file.h"
#include "experts/copy_rows.h"
#include "experts/expert_store.h"
#include "experts/placement.h"
#include "numa/team.h"
#include "weights/safetensors.h"

namespace baltoro::experts {

// A slice of rows and the place of its copy in a node's arena.
struct RowsCopy {
    SourceRows src{};
    int n_rows = 0;
    std::size_t row_bytes = 0;  // at most the source's stride
    std::size_t at = 0;         // in the arena

    std::size_t size_bytes() const noexcept { return n_rows * row_bytes; }
};

// A slice of one source matrix and its copy. Both parts are empty for an expert that lives
// elsewhere.
struct MatrixCopy {
    kernels::Weight src{};
    RowsCopy data{};
    RowsCopy scales{};  // empty where the format has none

    std::size_t arena_bytes() const noexcept;  // padding included

    // The matrix as it lies in the arena.
    kernels::Weight in(const std::byte* arena) const noexcept;
};

// What one node gets, in the order of the source: gate, up and down of every expert.
struct NodeCopy {
    std::vector<MatrixCopy> matrices;
    std::size_t size_bytes = 0;
};

// What node number `node` of the placement gets. `files` are those in whose mappings the experts
// may lie.
NodeCopy plan_node(const ExpertStore& source,
                   const Placement& placement,
                   int node,
                   std::span<const SafetensorsFile> files);

// Copies all of them to `place`.
void copy_whole(const RowsCopy& rows, const void* place, RowCopier& copier);

// Part of a file.
struct FileRange {
    const MappedFile* file = nullptr;
    std::size_t begin = 0;
    std::size_t end = 0;
};

// The parts of files that hold the data of these matrices, grown to whole 2 MB pages, joined, and
// cut into pieces that several threads can share. Scales are left out: they are little.
std::vector<FileRange> source_ranges(std::span<const NodeCopy> nodes, numa::Share matrices);

}  // namespace baltoro::experts
