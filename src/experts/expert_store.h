#pragma once

#include <cstddef>
#include <vector>

#include "base/aligned_tensors.h"
#include "cpu_kernels/kernels.h"

namespace baltoro::experts {

// The three matrices of one routed expert, where they lie.
//   gate, up [moe_intermediate_size, hidden_size];  down [hidden_size, moe_intermediate_size]
struct ExpertWeights {
    kernels::Weight gate;
    kernels::Weight up;
    kernels::Weight down;
};

// Bytes of an expert's weights and scales.
std::size_t weight_bytes(const ExpertWeights& expert) noexcept;

// All routed experts of a model. On the mapped path the weights lie in the checkpoint, which must
// outlive the store. Any thread reads; nobody may while exchange() runs.
class ExpertStore {
  public:
    // experts[moe_layer_idx * n_experts + expert_idx]
    ExpertStore(int n_moe_layers,
                int n_experts,
                std::vector<ExpertWeights> experts,
                AlignedTensors copies = {});

    int n_experts() const noexcept { return n_experts_; }
    int n_moe_layers() const noexcept { return n_moe_layers_; }
    const ExpertWeights& expert(int moe_layer_idx, int expert_idx) const noexcept;

    // Two experts of a layer change places.
    void exchange(int moe_layer_idx, int one, int other) noexcept;

  private:
    int n_moe_layers_;
    int n_experts_;
    std::vector<ExpertWeights> experts_;
    AlignedTensors copies_;  // what `experts_` may point into besides the checkpoint
};

}  // namespace baltoro::experts
