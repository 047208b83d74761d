#include "experts/expert_store.h"

#include <utility>

#include "base/check.h"

namespace baltoro::experts {
namespace {

std::size_t weight_bytes(const kernels::Weight& weight) noexcept {
    const auto n = static_cast<std::size_t>(weight.n);
    const auto k = static_cast<std::size_t>(weight.k);
    if (weight.format == kernels::WeightFormat::bf16) return n * k * sizeof(bf16_t);
    constexpr std::size_t kBlock = kernels::kScaleBlock;
    return n * k + (n + kBlock - 1) / kBlock * ((k + kBlock - 1) / kBlock) * sizeof(float);
}

}  // namespace

std::size_t weight_bytes(const ExpertWeights& expert) noexcept {
    return weight_bytes(expert.gate) + weight_bytes(expert.up) + weight_bytes(expert.down);
}

ExpertStore::ExpertStore(int n_moe_layers,
                         int n_experts,
                         std::vector<ExpertWeights> experts,
                         AlignedTensors copies)
    : n_moe_layers_(n_moe_layers),
      n_experts_(n_experts),
      experts_(std::move(experts)),
      copies_(std::move(copies)) {
    check(n_moe_layers > 0 && n_experts > 0, "a store has layers and experts");
    check(experts_.size() ==
              static_cast<std::size_t>(n_moe_layers) * static_cast<std::size_t>(n_experts),
          "a store has every expert of every layer");
}

const ExpertWeights& ExpertStore::expert(int moe_layer_idx, int expert_idx) const noexcept {
    check(moe_layer_idx >= 0 && moe_layer_idx < n_moe_layers_, "the layer is in the store");
    check(expert_idx >= 0 && expert_idx < n_experts_, "the expert is in the store");
    return experts_[static_cast<std::size_t>(moe_layer_idx) * static_cast<std::size_t>(n_experts_) +
                    static_cast<std::size_t>(expert_idx)];
}

void ExpertStore::exchange(int moe_layer_idx, int one, int other) noexcept {
    const auto layer =
        static_cast<std::size_t>(moe_layer_idx) * static_cast<std::size_t>(n_experts_);
    std::swap(experts_[layer + static_cast<std::size_t>(one)],
              experts_[layer + static_cast<std::size_t>(other)]);
}

}  // namespace baltoro::experts
