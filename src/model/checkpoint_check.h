#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "model/config.h"
#include "model/tensor_names.h"
#include "weights/checkpoint.h"

namespace baltoro {

struct TensorTotals {
    std::uint64_t n_tensors = 0;
    std::uint64_t n_bytes = 0;
    std::uint64_t n_weights = 0;  // elements, scales not counted
};

// Problems of one kind. All are counted, the first hundred are kept.
struct ProblemList {
    std::uint64_t count = 0;
    std::vector<std::string> first;
    void add(std::string text);
};

// How a checkpoint compares with what its configuration asks for.
struct CheckpointReport {
    ProblemList missing;     // names
    ProblemList wrong;       // messages: shard, tensor, expected, found
    ProblemList unexpected;  // names
    std::map<std::pair<Part, DType>, TensorTotals> totals;  // of the tensors that are used
    std::array<TensorTotals, kNumIgnoredKinds> ignored;     // by IgnoredKind

    bool is_complete() const noexcept { return missing.count == 0 && wrong.count == 0; }
    TensorTotals part_totals(Part part) const noexcept;
};

CheckpointReport compare_with_config(const ModelConfig& config, const Checkpoint& checkpoint);

// Throws Error naming shard, tensor, expected and found at the first tensor that is missing or
// wrong, and for int4 checkpoints. Writes one line for each kind of ignored tensors and one for
// unexpected ones.
void require_complete(const ModelConfig& config, const Checkpoint& checkpoint);

// Whether the forward pass reads the tensor; what load_into_page_cache should bring in.
bool is_used(const ModelConfig& config, std::string_view name) noexcept;

}  // namespace baltoro
