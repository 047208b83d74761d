#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace baltoro::experts {

// The rows that one expert computes: entries [first, first + n_rows) of ExpertPlan::rows and gains.
struct ExpertGroup {
    int expert_idx = 0;
    int first = 0;
    int n_rows = 0;
};

// Turns the router's output (experts per row) into rows per expert by a counting sort. Groups come
// in ascending order of expert, rows within a group in ascending order, so that a row's
// contributions are always added in the same order, whatever else is in the batch. Sized once;
// build() allocates nothing. One thread.
class ExpertPlan {
  public:
    ExpertPlan(int max_rows, int n_experts, int experts_per_row);

    //   expert_ids  [n_rows, experts_per_row], each in [0, n_experts)
    //   gains       [n_rows, experts_per_row]
    // Returns false (and plans nothing) if an id is out of range.
    bool build(std::span<const std::int32_t> expert_ids,
               std::span<const float> gains,
               int n_rows) noexcept;

    std::span<const ExpertGroup> groups() const noexcept { return {groups_.data(), n_groups_}; }
    std::span<const std::int32_t> rows() const noexcept { return {rows_.data(), n_entries_}; }
    std::span<const float> gains() const noexcept { return {gains_.data(), n_entries_}; }

  private:
    int n_experts_;
    int experts_per_row_;
    std::vector<ExpertGroup> groups_;
    std::vector<std::int32_t> first_of_expert_;
    std::vector<std::int32_t> rows_;
    std::vector<float> gains_;
    std::size_t n_groups_ = 0;
    std::size_t n_entries_ = 0;
};

}  // namespace baltoro::experts
