#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <utility>

#include "experts/copied_experts.h"
#include "experts/expert_store.h"

namespace baltoro {

// A model's routed experts: where they lie in the checkpoint, or copied to the memory of the NUMA
// nodes that compute them. Owned by the model; engine thread only.
class RoutedExperts {
  public:
    // The checkpoint must outlive it.
    explicit RoutedExperts(experts::ExpertStore mapped) : source_(std::move(mapped)) {}
    // `copied` was made from `mapped`.
    RoutedExperts(experts::CopiedExperts copied, experts::ExpertStore mapped)
        : source_(std::move(mapped)), copied_(std::move(copied)) {}

    // One store per node, for ExpertExecutor; a single one where nothing is copied.
    std::span<const experts::ExpertStore> node_stores() const noexcept {
        if (copied_) return copied_->node_stores();
        return {&source_, 1};
    }

    // All experts, whole, where they lie in the checkpoint.
    const experts::ExpertStore& source() const noexcept { return source_; }

    bool has_copies() const noexcept { return copied_.has_value(); }

    // Between steps, with copies: the host computes `coming`, whose weights are given whole and lie
    // in ordinary memory, instead of `leaving` from here on.
    void exchange(int moe_layer_idx,
                  int leaving,
                  int coming,
                  const experts::ExpertWeights& weights) {
        copied_->exchange(moe_layer_idx, leaving, coming, weights);
    }

    // Bytes of weights that one row reads if it chooses n_chosen experts in every layer.
    std::size_t bytes_per_row(int n_chosen) const noexcept;

  private:
    experts::ExpertStore source_;
    std::optional<experts::CopiedExperts> copied_;
};

}  // namespace baltoro
