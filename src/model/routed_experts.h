#pragma once

#include <cstddef>
#include <span>
#include <utility>
#include <variant>

#include "experts/copied_experts.h"
#include "experts/expert_store.h"

namespace baltoro {

// A model's routed experts: where they lie in the checkpoint, or copied to the memory of the NUMA
// nodes that compute them. Owned by the model; immutable.
class RoutedExperts {
  public:
    // The checkpoint must outlive it.
    explicit RoutedExperts(experts::ExpertStore mapped) : stores_(std::move(mapped)) {}
    explicit RoutedExperts(experts::CopiedExperts copied) : stores_(std::move(copied)) {}

    // One store per node, for ExpertExecutor; a single one where nothing is copied.
    std::span<const experts::ExpertStore> node_stores() const noexcept;

    // Bytes of weights that one row reads if it chooses n_chosen experts in every layer.
    std::size_t bytes_per_row(int n_chosen) const noexcept;

  private:
    std::variant<experts::ExpertStore, experts::CopiedExperts> stores_;
};

}  // namespace baltoro
