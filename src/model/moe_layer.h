#pragma once

#include <span>
#include <vector>

#include "device/device.h"
#include "experts/expert_executor.h"
#include "model/activations.h"
#include "model/config.h"
#include "model/resident_experts.h"
#include "model/trace.h"
#include "model/weights.h"
#include "numa/team.h"

namespace baltoro {

// A mixture-of-experts layer: the device routes and computes the shared expert, the CPU's team
// computes the routed experts meanwhile; here the two part and meet. Owns the executor. Engine
// thread only.
class MoeLayer {
  public:
    // Everything given by reference must outlive the object; `resident`, experts that live on the
    // device, may be null.
    MoeLayer(const ModelConfig& config,
             device::Device& device,
             Activations& activations,
             numa::Team& team,
             const kernels::Table& kernels,
             std::span<const experts::ExpertStore> node_stores,
             int max_rows,
             ResidentExperts* resident);

    // A layer's work on some rows that has begun.
    struct Started {
        int host_work = 0;
        RowRange rows;
    };

    // Parts: routes `rows` and hands them to the routed experts; x += shared_expert(h). h is the
    // normalised input in activations.normed (bf16) and normed_f32 (the router's copy).
    Started begin(
        const LayerWeights& layer, int moe_layer_idx, RowRange rows, StepKind kind, Trace* trace);

    // Meets: x += sum of gain x expert(h) over the chosen experts. In the order of begin().
    void end(const Started& started);

    // Of the experts' weights, by all finished steps so far.
    std::uint64_t bytes_read() const noexcept { return bytes_read_; }

  private:
    // What the host is to do, kept until it has done it: at most kPartsUnderWay a layer.
    struct HostTask {
        MoeLayer* layer = nullptr;
        experts::ExpertBatch batch;
        Trace* trace = nullptr;
    };
    static constexpr int kPartsUnderWay = 2;

    static void run_experts(void* task);
    void append_experts(const HostTask& task) const;

    const ModelConfig& config_;
    device::Device& device_;
    Activations& activations_;
    experts::ExpertExecutor executor_;
    ResidentExperts* resident_;
    std::vector<HostTask> tasks_;  // a ring
    std::size_t next_task_ = 0;
    std::uint64_t bytes_read_ = 0;
};

}  // namespace baltoro
