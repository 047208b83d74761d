#pragma once

// The inside of ExpertExecutor: expert_executor.cpp builds it and cuts a batch into waves,
// expert_phases.cpp is what the workers do.

#include <cstdint>
#include <span>
#include <vector>

#include "experts/expert_executor.h"
#include "experts/scratch_memory.h"

namespace baltoro::experts {

// Activations are kept in slots of kSlotRows rows: one panel, or the rows of one row-kernel call.
constexpr int kSlotRows = kernels::kPanelRows;
static_assert(kSlotRows == kernels::kMaxRows);

inline int slots_for(int n_rows) noexcept {
    return (n_rows + kSlotRows - 1) / kSlotRows;
}

// Rows [first, first + n_rows) of the plan that one row-kernel call or panel holds.
struct RowBatch {
    int first = 0;
    int n_rows = 0;
};

// Activations that a row kernel can read: rows at equal distances.
struct EvenRows {
    const bf16_t* x = nullptr;
    std::ptrdiff_t stride = 0;
};

// One NUMA node's part of the work: its slice of every expert, computed by its workers.
struct NodePart {
    const ExpertStore& store;
    int intermediate_size;  // of its slice; may be 0
    int first_worker;
    int n_workers;
    ScratchMemory intermediate;  // slots of silu(gate) * up
    ScratchMemory partial;       // f32 [max_rows, hidden_size]; none on the first node: dst is its

    bf16_t* slot(int idx) const noexcept {
        return intermediate.as<bf16_t>() + idx * kernels::panel_elements(intermediate_size);
    }
};

struct ExpertExecutor::State {
    numa::Team& team;
    const kernels::Table& kernels;
    ExpertShapes shapes;
    ExpertPlan plan;
    bool panels_pay;  // an expert's share of a full batch, if all are alike, is enough rows

    // What one call of the team works on: groups of the plan, the first at slot 0.
    ExpertBatch batch;
    std::span<const ExpertGroup> wave;
    std::vector<int> first_slot;  // of each group in `wave`
    int n_panels = 0;             // slots of groups that use panels
    bool is_first_wave = false;
    bool is_last_wave = false;

    // A slot is [kSlotRows, padded_depth] for row kernels, one panel for panel kernels.
    int wave_slots;
    ScratchMemory packed;  // slots of x, for panel kernels
    std::size_t gather_elements;
    ScratchMemory gathered;  // per worker: kMaxRows rows of x
    std::size_t kernel_scratch_bytes;
    ScratchMemory kernel_scratch;  // per worker
    std::vector<NodePart> nodes;
    std::vector<int> node_of_worker;

    State(numa::Team& used_team,
          const kernels::Table& used_kernels,
          std::span<const ExpertStore> node_stores,
          const ExpertShapes& used_shapes);

    bool uses_panels() const noexcept { return panels_pay && batch.is_prefill; }
    bf16_t* packed_slot(int slot) const noexcept {
        return packed.as<bf16_t>() + slot * kernels::panel_elements(shapes.hidden_size);
    }
    const ExpertWeights& weights(const NodePart& node, const ExpertGroup& group) const noexcept {
        return node.store.expert(batch.moe_layer_idx, group.expert_idx);
    }
    // Not one that another device computes.
    bool is_here(const ExpertGroup& group) const noexcept {
        if (batch.slot_of != nullptr && batch.slot_of[group.expert_idx] >= 0) return false;
        return weights(nodes[0], group).gate.data != nullptr;
    }
    void* scratch_of(int worker_idx) const noexcept {
        return kernel_scratch.data() + worker_idx * kernel_scratch_bytes;
    }
    float* sum_of(const NodePart& node) const noexcept {
        return node.partial.data() != nullptr ? node.partial.as<float>() : batch.dst;
    }

    std::size_t begin_wave(std::size_t first_group);
    std::uint64_t bytes_of_groups() const noexcept;

    void work(int worker_idx) noexcept;
    void pack(int worker_idx) noexcept;
    void pack_slot(const ExpertGroup& group, int group_slot, int slot) noexcept;
    void gate_up(const NodePart& node, int worker_idx) noexcept;
    void rows_gate_up(const NodePart& node,
                      int group_idx,
                      kernels::RowRange range,
                      int worker_idx) noexcept;
    EvenRows even_rows(const RowBatch& rows, int worker_idx) noexcept;
    void down(const NodePart& node, int worker_idx) noexcept;
    void zero_columns(float* dst, numa::Share columns) noexcept;
    void rows_down(const NodePart& node,
                   int group_idx,
                   kernels::RowRange range,
                   int worker_idx) noexcept;
    void add_partials(int worker_idx) noexcept;
};

}  // namespace baltoro::experts
