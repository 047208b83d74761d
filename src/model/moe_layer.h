#pragma once

#include <span>

#include "device/device.h"
#include "experts/expert_executor.h"
#include "model/activations.h"
#include "model/config.h"
#include "model/trace.h"
#include "model/weights.h"
#include "numa/team.h"

namespace baltoro {

// A mixture-of-experts layer: the device routes and computes the shared expert, the CPU's team
// computes the routed experts; here the two part and meet. Owns the executor. Engine thread only.
class MoeLayer {
  public:
    // Everything given by reference must outlive the object.
    MoeLayer(const ModelConfig& config,
             device::Device& device,
             Activations& activations,
             numa::Team& team,
             const kernels::Table& kernels,
             std::span<const experts::ExpertStore> node_stores,
             int max_rows);

    // x += sum of gain x expert(h) over the chosen experts, + shared_expert(h), where h is the
    // normalised input in activations.experts_in (bf16) and normed_f32 (the router's copy).
    void add(const LayerWeights& layer, int moe_layer_idx, int n_rows, StepKind kind, Trace* trace);

    // Of the experts' weights, by all calls so far.
    std::uint64_t bytes_read() const noexcept { return bytes_read_; }

  private:
    void append_experts(Trace& trace, int moe_layer_idx, int n_rows) const;

    const ModelConfig& config_;
    device::Device& device_;
    Activations& activations_;
    experts::ExpertExecutor executor_;
    std::uint64_t bytes_read_ = 0;
};

}  // namespace baltoro
