#include "experts/expert_plan.h"

#include <algorithm>

#include "base/check.h"

namespace baltoro::experts {
namespace {

std::size_t n_entries_of(int n_rows, int experts_per_row) {
    return static_cast<std::size_t>(n_rows) * static_cast<std::size_t>(experts_per_row);
}

}  // namespace

ExpertPlan::ExpertPlan(int max_rows, int n_experts, int experts_per_row)
    : n_experts_(n_experts),
      experts_per_row_(experts_per_row),
      groups_(n_experts),
      first_of_expert_(n_experts),
      rows_(n_entries_of(max_rows, experts_per_row)),
      gains_(n_entries_of(max_rows, experts_per_row)) {}

bool ExpertPlan::build(std::span<const std::int32_t> expert_ids,
                       std::span<const float> gains,
                       int n_rows) noexcept {
    const std::size_t n_entries = n_entries_of(n_rows, experts_per_row_);
    check(n_entries <= rows_.size(), "a plan has at most max_rows rows");
    check(expert_ids.size() == n_entries && gains.size() == n_entries,
          "the router chose experts_per_row experts for each row");
    n_groups_ = 0;
    n_entries_ = 0;
    std::fill(first_of_expert_.begin(), first_of_expert_.end(), 0);
    for (const std::int32_t expert_idx : expert_ids) {
        if (expert_idx < 0 || expert_idx >= n_experts_) return false;
        ++first_of_expert_[expert_idx];
    }
    std::int32_t first = 0;
    for (int expert_idx = 0; expert_idx < n_experts_; ++expert_idx) {
        const std::int32_t count = first_of_expert_[expert_idx];
        first_of_expert_[expert_idx] = first;
        if (count > 0) groups_[n_groups_++] = {expert_idx, first, count};
        first += count;
    }
    // Rows in order, so they stay ascending within their expert.
    for (std::size_t i = 0; i < n_entries; ++i) {
        const std::int32_t at = first_of_expert_[expert_ids[i]]++;
        rows_[at] = static_cast<std::int32_t>(i / static_cast<std::size_t>(experts_per_row_));
        gains_[at] = gains[i];
    }
    n_entries_ = n_entries;
    return true;
}

}  // namespace baltoro::experts
