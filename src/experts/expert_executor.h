#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "cpu_kernels/kernels.h"
#include "experts/expert_plan.h"
#include "experts/expert_store.h"
#include "numa/team.h"

namespace baltoro::experts {

// The shapes an executor is sized for.
struct ExpertShapes {
    int hidden_size = 0;
    int moe_intermediate_size = 0;
    int experts_per_row = 0;
    int max_rows = 0;  // rows (tokens) of one call
};

// One layer's routed work.
//   x           bf16 [n_rows, hidden_size], contiguous
//   expert_ids  int32 [n_rows, experts_per_row]     gains  f32 [n_rows, experts_per_row]
//   dst         f32 [n_rows, hidden_size], overwritten: dst[r] = sum_e gains[r, e] * expert_e(x[r])
struct ExpertBatch {
    int moe_layer_idx = 0;
    int n_rows = 0;
    const bf16_t* x = nullptr;
    const std::int32_t* expert_ids = nullptr;
    const float* gains = nullptr;
    float* dst = nullptr;
    bool is_prefill = true;  // rows of a long prompt: computed by panels where these pay
    // int32 [n_experts]: experts with a number that is not negative are computed elsewhere and left
    // out; null: none.
    const std::int32_t* slot_of = nullptr;
};

// Computes routed experts on the team in phases separated by barriers: (pack, with panel
// kernels,) gate+up+SiLU over slices of the intermediate dimension, then down over slices of the
// hidden dimension. Every worker owns contiguous slices balanced by bytes, so results do not depend
// on timing, nor on the other rows of the batch: row or panel kernels are chosen by the shapes and
// the kind of batch, not by how many rows an expert has.
// Owns its scratch; run() allocates nothing. Engine thread only.
class ExpertExecutor {
  public:
    // `team` and `store` must outlive the executor.
    ExpertExecutor(numa::Team& team,
                   const kernels::Table& kernels,
                   const ExpertStore& store,
                   const ExpertShapes& shapes);

    // The experts split over NUMA nodes: node_stores[j] holds slices of the intermediate dimension,
    // one after the other, for the workers of the team's j-th node (see placement.h). The nodes'
    // partial sums are added in the order of the nodes. All stores must outlive the executor.
    ExpertExecutor(numa::Team& team,
                   const kernels::Table& kernels,
                   std::span<const ExpertStore> node_stores,
                   const ExpertShapes& shapes);
    ~ExpertExecutor();

    // Throws Error if an expert id is out of range; otherwise cannot fail.
    void run(const ExpertBatch& batch);

    // Bytes of expert weights that run() would read for the last batch (each expert once).
    std::uint64_t last_weight_bytes() const noexcept;

  private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace baltoro::experts
