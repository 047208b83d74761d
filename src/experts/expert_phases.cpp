#include <algorithm>
#include <cstring>

#include "experts/expert_executor_state.h"

namespace baltoro::experts {
namespace {

// Workers' slices are cut at multiples of these. A tile of weights is 16 rows on every level that
// has panels; row kernels take 4, 8 or 32 rows at a time.
constexpr int kPanelUnit = 16;
constexpr int kRowsUnit = 32;

RowBatch row_batch(const ExpertGroup& group, int batch_idx) {
    const int done = batch_idx * kSlotRows;
    return {group.first + done, std::min(kSlotRows, group.n_rows - done)};
}

}  // namespace

void ExpertExecutor::State::work(int worker_idx) noexcept {
    if (n_panels > 0) {
        pack(worker_idx);
        team.barrier();
    }
    const NodePart& node = nodes[node_of_worker[worker_idx]];
    gate_up(node, worker_idx);
    team.barrier();
    down(node, worker_idx);
    if (is_last_wave && nodes.size() > 1) {
        team.barrier();
        add_partials(worker_idx);
    }
}

// Each worker packs a contiguous share of all panels of the wave.
void ExpertExecutor::State::pack(int worker_idx) noexcept {
    const numa::Share share = numa::share_of(n_panels, 1, worker_idx, team.size());
    int panel_idx = 0;
    for (std::size_t g = 0; g < wave.size(); ++g) {
        if (!is_here(wave[g])) continue;
        for (int i = 0; i < slots_for(wave[g].n_rows); ++i, ++panel_idx) {
            if (panel_idx < share.begin || panel_idx >= share.end) continue;
            pack_slot(wave[g], i, first_slot[g] + i);
        }
    }
}

void ExpertExecutor::State::pack_slot(const ExpertGroup& group, int group_slot, int slot) noexcept {
    const RowBatch rows = row_batch(group, group_slot);
    kernels.pack_panel({batch.x, shapes.hidden_size, plan.rows().data() + rows.first, rows.n_rows,
                        shapes.hidden_size, packed_slot(slot)});
    // The down projection also reads the padding, where rows of an earlier call may lie.
    for (const NodePart& node : nodes) {
        if (node.intermediate_size == 0) continue;
        const std::size_t n = static_cast<std::size_t>(node.intermediate_size) / 2 * 2 * kSlotRows;
        const std::size_t padded = kernels::panel_elements(node.intermediate_size);
        std::memset(node.slot(slot) + n, 0, (padded - n) * sizeof(bf16_t));
    }
}

// Every worker takes a slice of its node's slice of every expert, so that workers stay even without
// a model of what an expert with many rows costs. The experts' cuts are shifted against each other,
// so that the rounding to units does not always fall on the same workers.
void ExpertExecutor::State::gate_up(const NodePart& node, int worker_idx) noexcept {
    const int n = node.intermediate_size;
    const int idx = worker_idx - node.first_worker;
    const std::int64_t n_units = (n + kPanelUnit - 1) / kPanelUnit;
    const std::int64_t n_workers = node.n_workers;
    std::int64_t shift = 0;
    const auto cut = [&](std::int64_t worker) {
        const std::int64_t units = (n_units * worker + shift) / n_workers;
        return static_cast<int>(std::min<std::int64_t>(units * kPanelUnit, n));
    };
    for (std::size_t g = 0; g < wave.size(); ++g) {
        const kernels::RowRange range{cut(idx), cut(idx + 1)};
        shift = (shift + n_units) % n_workers;
        if (range.begin == range.end || !is_here(wave[g])) continue;
        const ExpertWeights& expert = weights(node, wave[g]);
        if (!uses_panels()) {
            rows_gate_up(node, static_cast<int>(g), range, worker_idx);
            continue;
        }
        kernels.panels_gate_up({expert.gate, expert.up, range, packed_slot(first_slot[g]),
                                wave[g].n_rows, node.slot(first_slot[g]), scratch_of(worker_idx)});
    }
}

void ExpertExecutor::State::rows_gate_up(const NodePart& node,
                                         int group_idx,
                                         kernels::RowRange range,
                                         int worker_idx) noexcept {
    const ExpertGroup& group = wave[group_idx];
    const ExpertWeights& expert = weights(node, group);
    for (int i = 0; i < slots_for(group.n_rows); ++i) {
        const RowBatch rows = row_batch(group, i);
        const EvenRows x = even_rows(rows, worker_idx);
        kernels.rows_gate_up({expert.gate, expert.up, range, x.x, x.stride, rows.n_rows,
                              node.slot(first_slot[group_idx] + i),
                              kernels::padded_depth(node.intermediate_size),
                              scratch_of(worker_idx)});
    }
}

// One row, two rows and neighbours already lie evenly; others are copied, by each worker for itself
// (at most 16 rows, which it would have to fetch from another core's cache anyway).
EvenRows ExpertExecutor::State::even_rows(const RowBatch& rows, int worker_idx) noexcept {
    const std::int32_t* row = plan.rows().data() + rows.first;
    const std::ptrdiff_t hidden = shapes.hidden_size;
    const std::ptrdiff_t step = rows.n_rows > 1 ? row[1] - row[0] : 1;
    bool is_even = true;
    for (int r = 2; r < rows.n_rows; ++r)
        is_even = is_even && row[r] - row[r - 1] == step;
    if (is_even) return {batch.x + row[0] * hidden, step * hidden};
    bf16_t* copy = gathered.as<bf16_t>() + worker_idx * gather_elements;
    for (int r = 0; r < rows.n_rows; ++r) {
        std::memcpy(copy + r * hidden, batch.x + row[r] * hidden, hidden * sizeof(bf16_t));
    }
    return {copy, hidden};
}

// A worker owns the same columns of its node's sum for all experts, so the order of a row's sum is
// the order of the groups.
void ExpertExecutor::State::down(const NodePart& node, int worker_idx) noexcept {
    const int unit = n_panels > 0 ? kPanelUnit : kRowsUnit;
    const int idx = worker_idx - node.first_worker;
    const numa::Share share = numa::share_of(shapes.hidden_size, unit, idx, node.n_workers);
    if (is_first_wave) zero_columns(sum_of(node), share);
    if (share.begin == share.end || node.intermediate_size == 0) return;
    for (std::size_t g = 0; g < wave.size(); ++g) {
        const ExpertGroup& group = wave[g];
        if (!is_here(group)) continue;
        if (!uses_panels()) {
            rows_down(node, static_cast<int>(g), {share.begin, share.end}, worker_idx);
            continue;
        }
        kernels.panels_product({weights(node, group).down,
                                {share.begin, share.end},
                                node.slot(first_slot[g]),
                                group.n_rows,
                                sum_of(node),
                                shapes.hidden_size,
                                plan.gains().data() + group.first,
                                plan.rows().data() + group.first,
                                scratch_of(worker_idx)});
    }
}

void ExpertExecutor::State::zero_columns(float* dst, numa::Share columns) noexcept {
    const std::size_t n_bytes = (columns.end - columns.begin) * sizeof(float);
    for (std::ptrdiff_t r = 0; r < batch.n_rows; ++r)
        std::memset(dst + r * shapes.hidden_size + columns.begin, 0, n_bytes);
}

void ExpertExecutor::State::rows_down(const NodePart& node,
                                      int group_idx,
                                      kernels::RowRange range,
                                      int worker_idx) noexcept {
    const ExpertGroup& group = wave[group_idx];
    for (int i = 0; i < slots_for(group.n_rows); ++i) {
        const RowBatch rows = row_batch(group, i);
        kernels.rows_product({weights(node, group).down, range,
                              node.slot(first_slot[group_idx] + i),
                              kernels::padded_depth(node.intermediate_size), rows.n_rows,
                              sum_of(node), shapes.hidden_size, plan.gains().data() + rows.first,
                              plan.rows().data() + rows.first, scratch_of(worker_idx)});
    }
}

// dst holds the first node's sum; the others' are added in the order of the nodes, so the bits
// depend on the number of nodes but not on the number of workers.
void ExpertExecutor::State::add_partials(int worker_idx) noexcept {
    const int n = batch.n_rows * shapes.hidden_size;
    const numa::Share share = numa::share_of(n, kPanelUnit, worker_idx, team.size());
    for (std::size_t j = 1; j < nodes.size(); ++j) {
        kernels.add(nodes[j].partial.as<float>() + share.begin, batch.dst + share.begin,
                    static_cast<std::size_t>(share.end - share.begin));
    }
}

}  // namespace baltoro::experts
