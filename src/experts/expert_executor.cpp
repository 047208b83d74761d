#include "experts/expert_executor.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/check.h"
#include "base/error.h"
#include "experts/expert_executor_state.h"

namespace baltoro::experts {
namespace {

// Experts are computed in waves of at most this many slots, which bounds the scratch (150 MB for
// K2) whatever the chunk is; a wave more costs two or three barriers. All 384 experts of K2 with up
// to 16 rows each are one wave.
constexpr int kWaveSlots = 512;

bool has_shape(const kernels::Weight& w, int n, int k) {
    return w.n == n && w.k == k;
}

// The part of the intermediate dimension that a store holds, the same for all its experts.
int intermediate_size_of(const ExpertStore& store, int hidden_size) {
    const int size = store.expert(0, 0).gate.n;
    for (int layer = 0; layer < store.n_moe_layers(); ++layer) {
        for (int e = 0; e < store.n_experts(); ++e) {
            const ExpertWeights& expert = store.expert(layer, e);
            check(has_shape(expert.gate, size, hidden_size) &&
                      has_shape(expert.up, size, hidden_size) &&
                      has_shape(expert.down, hidden_size, size),
                  "every expert has the executor's shapes");
        }
    }
    return size;
}

// The node (counted from 0 without gaps) of each worker; all workers are one where there is one
// store.
std::vector<int> nodes_of_workers(const numa::Team& team, std::size_t n_stores) {
    std::vector<int> nodes(team.size(), 0);
    if (n_stores == 1) return nodes;
    for (int i = 1; i < team.size(); ++i)
        nodes[i] = nodes[i - 1] + (team.place(i).node_idx != team.place(i - 1).node_idx);
    check(static_cast<std::size_t>(nodes.back()) + 1 == n_stores,
          "every node of the placement has workers, and no other");
    return nodes;
}

}  // namespace

ExpertExecutor::State::State(numa::Team& used_team,
                             const kernels::Table& used_kernels,
                             std::span<const ExpertStore> node_stores,
                             const ExpertShapes& used_shapes)
    : team(used_team),
      kernels(used_kernels),
      shapes(used_shapes),
      plan(shapes.max_rows, node_stores[0].n_experts(), shapes.experts_per_row),
      panels_pay(kernels.panel_min_rows <=
                 shapes.max_rows * shapes.experts_per_row / node_stores[0].n_experts()),
      first_slot(node_stores[0].n_experts()),
      wave_slots(std::max(slots_for(shapes.max_rows),
                          std::min(kWaveSlots, shapes.max_rows * shapes.experts_per_row))),
      packed(panels_pay ? wave_slots * kernels::panel_elements(shapes.hidden_size) * sizeof(bf16_t)
                        : 0),
      gather_elements(kernels::panel_elements(shapes.hidden_size)),
      gathered(team.size() * gather_elements * sizeof(bf16_t)),
      kernel_scratch_bytes(0),
      kernel_scratch(0),
      node_of_worker(nodes_of_workers(team, node_stores.size())) {
    int total_size = 0;
    int first_worker = 0;
    for (std::size_t j = 0; j < node_stores.size(); ++j) {
        const int size = intermediate_size_of(node_stores[j], shapes.hidden_size);
        const int n_workers = static_cast<int>(
            std::count(node_of_worker.begin(), node_of_worker.end(), static_cast<int>(j)));
        const std::size_t partial_elements =
            j == 0 ? 0 : static_cast<std::size_t>(shapes.max_rows) * shapes.hidden_size;
        nodes.push_back({node_stores[j], size, first_worker, n_workers,
                         ScratchMemory(wave_slots * kernels::panel_elements(size) * sizeof(bf16_t)),
                         ScratchMemory(partial_elements * sizeof(float))});
        first_worker += n_workers;
        total_size += size;
    }
    check(total_size == shapes.moe_intermediate_size, "the stores hold whole experts together");
    std::size_t wanted = std::max(kernels.row_scratch_bytes(shapes.hidden_size),
                                  kernels.row_scratch_bytes(shapes.moe_intermediate_size));
    if (panels_pay)
        wanted =
            std::max({wanted, kernels.panel_scratch_bytes(shapes.hidden_size, shapes.max_rows),
                      kernels.panel_scratch_bytes(shapes.moe_intermediate_size, shapes.max_rows)});
    kernel_scratch_bytes = (wanted + 127) / 128 * 128;  // no line is shared by two workers
    kernel_scratch = ScratchMemory(team.size() * kernel_scratch_bytes);
}

// Takes the groups from `first_group` on that fit the slots and returns the one after them.
std::size_t ExpertExecutor::State::begin_wave(std::size_t first_group) {
    const std::span<const ExpertGroup> groups = plan.groups();
    std::size_t end = first_group;
    int n_slots = 0;
    n_panels = 0;
    for (; end < groups.size(); ++end) {
        const int n_group_slots = is_here(groups[end]) ? slots_for(groups[end].n_rows) : 0;
        if (n_slots + n_group_slots > wave_slots) break;
        first_slot[end - first_group] = n_slots;
        n_slots += n_group_slots;
        if (uses_panels()) n_panels += n_group_slots;
    }
    check(end > first_group || groups.empty(), "a row chooses an expert at most once");
    wave = groups.subspan(first_group, end - first_group);
    is_first_wave = first_group == 0;
    is_last_wave = end == groups.size();
    return end;
}

std::uint64_t ExpertExecutor::State::bytes_of_groups() const noexcept {
    std::uint64_t bytes = 0;
    for (const ExpertGroup& group : plan.groups()) {
        if (!is_here(group)) continue;
        for (const NodePart& node : nodes)
            bytes += weight_bytes(weights(node, group));
    }
    return bytes;
}

ExpertExecutor::ExpertExecutor(numa::Team& team,
                               const kernels::Table& kernels,
                               const ExpertStore& store,
                               const ExpertShapes& shapes)
    : ExpertExecutor(team, kernels, std::span(&store, 1), shapes) {}

ExpertExecutor::ExpertExecutor(numa::Team& team,
                               const kernels::Table& kernels,
                               std::span<const ExpertStore> node_stores,
                               const ExpertShapes& shapes)
    : state_(std::make_unique<State>(team, kernels, node_stores, shapes)) {}

ExpertExecutor::~ExpertExecutor() = default;

void ExpertExecutor::run(const ExpertBatch& batch) {
    State& state = *state_;
    check(batch.n_rows <= state.shapes.max_rows, "a batch has at most max_rows rows");
    const std::size_t n_entries = static_cast<std::size_t>(batch.n_rows) *
                                  static_cast<std::size_t>(state.shapes.experts_per_row);
    if (!state.plan.build({batch.expert_ids, n_entries}, {batch.gains, n_entries}, batch.n_rows)) {
        throw Error(fmt::format("layer {} of the experts: the router chose an expert outside 0..{}",
                                batch.moe_layer_idx, state.nodes[0].store.n_experts() - 1));
    }
    state.batch = batch;
    std::size_t next = 0;
    do {  // without any expert dst still becomes zero
        next = state.begin_wave(next);
        state.team.run([&](int worker_idx) { state.work(worker_idx); });
    } while (next < state.plan.groups().size());
}

std::uint64_t ExpertExecutor::last_weight_bytes() const noexcept {
    return state_->bytes_of_groups();
}

}  // namespace baltoro::experts
