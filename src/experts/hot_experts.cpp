#include "experts/hot_experts.h"

#include <algorithm>
#include <numeric>

#include "base/check.h"

namespace baltoro::experts {
namespace {

// How much hotter an expert must be than the one whose slot it takes.
constexpr double kClearlyHotter = 1.5;
// Uses below which an expert is not worth a move: its 44 MB travel over the link once.
constexpr double kFewUses = 4.0;

}  // namespace

HotExperts::HotExperts(int n_moe_layers, int n_experts, int slots_per_layer)
    : n_moe_layers_(n_moe_layers),
      n_experts_(n_experts),
      slots_per_layer_(std::min(slots_per_layer, n_experts)),
      counts_(static_cast<std::size_t>(n_moe_layers) * static_cast<std::size_t>(n_experts)),
      slot_of_(counts_.size(), -1) {
    for (int l = 0; l < n_moe_layers_; l++)
        for (int s = 0; s < slots_per_layer_; s++)
            slot_of_[at(l, s)] = s;
}

std::span<const std::int32_t> HotExperts::slot_of(int moe_layer_idx) const noexcept {
    return {slot_of_.data() + at(moe_layer_idx, 0), static_cast<std::size_t>(n_experts_)};
}

int HotExperts::expert_in(int moe_layer_idx, int slot) const noexcept {
    const std::span<const std::int32_t> slots = slot_of(moe_layer_idx);
    return static_cast<int>(std::find(slots.begin(), slots.end(), slot) - slots.begin());
}

void HotExperts::count(int moe_layer_idx, std::span<const std::int32_t> expert_ids) noexcept {
    for (const std::int32_t id : expert_ids) {
        counts_[at(moe_layer_idx, id)] += 1.0;
        if (slot_of_[at(moe_layer_idx, id)] >= 0) n_hits_++;
    }
    n_choices_ += expert_ids.size();
}

double HotExperts::gain_of(const ExpertMove& move) const noexcept {
    const double lost = move.evicted_expert_idx < 0
                            ? 0.0
                            : counts_[at(move.moe_layer_idx, move.evicted_expert_idx)];
    return counts_[at(move.moe_layer_idx, move.expert_idx)] - lost;
}

// The hottest experts without a slot against the coldest with one, as long as it is worth it.
void HotExperts::plan_layer(int moe_layer_idx, std::vector<ExpertMove>& moves) const {
    std::vector<int> order(static_cast<std::size_t>(n_experts_));
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](int a, int b) {
        return counts_[at(moe_layer_idx, a)] > counts_[at(moe_layer_idx, b)];
    });
    const auto has_slot = [&](int e) { return slot_of_[at(moe_layer_idx, e)] >= 0; };
    auto cold = order.rbegin();
    for (const int hot : order) {
        if (has_slot(hot)) continue;
        while (cold != order.rend() && !has_slot(*cold))
            ++cold;
        if (cold == order.rend()) return;
        const double uses = counts_[at(moe_layer_idx, hot)];
        if (uses < kFewUses || uses < kClearlyHotter * counts_[at(moe_layer_idx, *cold)]) return;
        moves.push_back({moe_layer_idx, slot_of_[at(moe_layer_idx, *cold)], hot, *cold});
        ++cold;
    }
}

std::vector<ExpertMove> HotExperts::plan(int most_moves) {
    std::vector<ExpertMove> moves;
    for (int l = 0; l < n_moe_layers_; l++)
        plan_layer(l, moves);
    std::stable_sort(moves.begin(), moves.end(), [&](const ExpertMove& a, const ExpertMove& b) {
        return gain_of(a) > gain_of(b);
    });
    if (moves.size() > static_cast<std::size_t>(most_moves))
        moves.resize(static_cast<std::size_t>(most_moves));
    for (double& n : counts_)
        n *= 0.5;
    return moves;
}

void HotExperts::apply(const ExpertMove& move) noexcept {
    if (move.evicted_expert_idx >= 0)
        slot_of_[at(move.moe_layer_idx, move.evicted_expert_idx)] = -1;
    slot_of_[at(move.moe_layer_idx, move.expert_idx)] = move.slot;
}

double HotExperts::hit_share() const noexcept {
    return n_choices_ == 0 ? 0.0 : static_cast<double>(n_hits_) / static_cast<double>(n_choices_);
}

}  // namespace baltoro::experts
