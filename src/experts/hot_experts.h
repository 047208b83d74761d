#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace baltoro::experts {

// An expert that takes a slot, and the one that loses it (-1: the slot was free).
struct ExpertMove {
    int moe_layer_idx = 0;
    int slot = 0;
    int expert_idx = 0;
    int evicted_expert_idx = -1;
};

// Which routed experts are worth a place on the GPU: the most used of each layer, as counted while
// the model runs. Counts fade, so that what was hot yesterday can leave; an expert must be clearly
// hotter than the one it replaces, so that near-equals do not change places forever. Pure logic:
// the owner carries the moves out. Engine thread only.
class HotExperts {
  public:
    // The first slots_per_layer experts of each layer have the slots at first.
    HotExperts(int n_moe_layers, int n_experts, int slots_per_layer);

    int slots_per_layer() const noexcept { return slots_per_layer_; }

    // The slot of every expert of a layer, -1: none. Valid until apply().
    std::span<const std::int32_t> slot_of(int moe_layer_idx) const noexcept;
    // The expert in a slot.
    int expert_in(int moe_layer_idx, int slot) const noexcept;

    // Rows of one step chose these experts (ids in [0, n_experts)).
    void count(int moe_layer_idx, std::span<const std::int32_t> expert_ids) noexcept;

    // The moves that gain most, at most `most_moves`, best first; counts fade by half. Nothing has
    // moved yet.
    std::vector<ExpertMove> plan(int most_moves);
    void apply(const ExpertMove& move) noexcept;

    // Of the choices counted so far, how many fell on experts that had a slot then.
    double hit_share() const noexcept;

  private:
    std::size_t at(int moe_layer_idx, int expert_idx) const noexcept {
        return static_cast<std::size_t>(moe_layer_idx) * static_cast<std::size_t>(n_experts_) +
               static_cast<std::size_t>(expert_idx);
    }
    void plan_layer(int moe_layer_idx, std::vector<ExpertMove>& moves) const;
    double gain_of(const ExpertMove& move) const noexcept;

    int n_moe_layers_;
    int n_experts_;
    int slots_per_layer_;
    std::vector<double> counts_;         // [n_moe_layers, n_experts]
    std::vector<std::int32_t> slot_of_;  // likewise
    std::uint64_t n_choices_ = 0;
    std::uint64_t n_hits_ = 0;
};

}  // namespace baltoro::experts
