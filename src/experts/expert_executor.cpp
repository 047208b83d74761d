#include "experts/expert_executor.h"

#include <algorithm>
#include <cstring>
#include <span>

#include <fmt/format.h>

#include "base/check.h"
#include "base/error.h"
#include "experts/scratch_memory.h"

namespace baltoro::experts {
namespace {

// Activations are kept in slots of kSlotRows rows: one panel, or the rows of one row-kernel call.
constexpr int kSlotRows = kernels::kPanelRows;
static_assert(kSlotRows == kernels::kMaxRows);

// Experts are computed in waves of at most this many slots, which bounds the scratch (150 MB for
// K2) whatever the chunk is; a wave more costs two or three barriers. All 384 experts of K2 with up
// to 16 rows each are one wave.
constexpr int kWaveSlots = 512;

// Workers' slices are cut at multiples of these. A tile of weights is 16 rows on every level that
// has panels; row kernels take 4 or 8 rows at a time.
constexpr int kPanelUnit = 16;
constexpr int kRowsUnit = 8;

std::uint64_t weight_bytes(const kernels::Weight& w) {
    const std::uint64_t n_weights =
        static_cast<std::uint64_t>(w.n) * static_cast<std::uint64_t>(w.k);
    if (w.format == kernels::WeightFormat::bf16) return n_weights * sizeof(bf16_t);
    const auto n_blocks = [](int n) {
        return static_cast<std::uint64_t>((n + kernels::kScaleBlock - 1) / kernels::kScaleBlock);
    };
    return n_weights + n_blocks(w.n) * n_blocks(w.k) * sizeof(float);
}

bool has_shape(const kernels::Weight& w, int n, int k) {
    return w.n == n && w.k == k;
}

int slots_for(int n_rows) {
    return (n_rows + kSlotRows - 1) / kSlotRows;
}

// Rows [first, first + n_rows) of a group that one row-kernel call computes.
struct RowBatch {
    int first = 0;
    int n_rows = 0;
};

RowBatch row_batch(const ExpertGroup& group, int batch_idx) {
    const int done = batch_idx * kSlotRows;
    return {group.first + done, std::min(kSlotRows, group.n_rows - done)};
}

// Activations that a row kernel can read: rows at equal distances.
struct EvenRows {
    const bf16_t* x = nullptr;
    std::ptrdiff_t stride = 0;
};

}  // namespace

struct ExpertExecutor::State {
    numa::Team& team;
    const kernels::Table& kernels;
    const ExpertStore& store;
    ExpertShapes shapes;
    ExpertPlan plan;
    std::uint64_t last_weight_bytes = 0;

    // What one call of the team works on: groups of the plan, the first at slot 0.
    ExpertBatch batch;
    std::span<const ExpertGroup> wave;
    std::vector<int> first_slot;  // of each group in `wave`
    int n_panels = 0;             // slots of groups that use panels
    bool is_first_wave = false;

    // A slot is [kSlotRows, padded_depth] for row kernels, one panel for panel kernels.
    int wave_slots;
    ScratchMemory packed;        // slots of x, for panel kernels
    ScratchMemory intermediate;  // slots of silu(gate) * up
    std::size_t gather_elements;
    ScratchMemory gathered;  // per worker: kMaxRows rows of x
    std::size_t kernel_scratch_bytes;
    ScratchMemory kernel_scratch;  // per worker

    State(numa::Team& used_team,
          const kernels::Table& used_kernels,
          const ExpertStore& used_store,
          const ExpertShapes& used_shapes);

    bool uses_panels(const ExpertGroup& group) const {
        return group.n_rows >= kernels.panel_min_rows;
    }
    bf16_t* packed_slot(int slot) const {
        return packed.as<bf16_t>() + slot * kernels::panel_elements(shapes.hidden_size);
    }
    bf16_t* intermediate_slot(int slot) const {
        return intermediate.as<bf16_t>() +
               slot * kernels::panel_elements(shapes.moe_intermediate_size);
    }
    const ExpertWeights& weights(const ExpertGroup& group) const {
        return store.expert(batch.moe_layer_idx, group.expert_idx);
    }
    void* scratch_of(int worker_idx) const {
        return kernel_scratch.data() + worker_idx * kernel_scratch_bytes;
    }

    std::size_t begin_wave(std::size_t first_group);
    void work(int worker_idx) noexcept;
    void pack(int worker_idx) noexcept;
    void pack_slot(const ExpertGroup& group, int group_slot, int slot) noexcept;
    void gate_up(int worker_idx) noexcept;
    void rows_gate_up(int group_idx, kernels::RowRange range, int worker_idx) noexcept;
    EvenRows even_rows(const RowBatch& rows, int worker_idx) noexcept;
    void down(int worker_idx) noexcept;
    void rows_down(int group_idx, kernels::RowRange range) noexcept;
};

ExpertExecutor::State::State(numa::Team& used_team,
                             const kernels::Table& used_kernels,
                             const ExpertStore& used_store,
                             const ExpertShapes& used_shapes)
    : team(used_team),
      kernels(used_kernels),
      store(used_store),
      shapes(used_shapes),
      plan(shapes.max_rows, store.n_experts(), shapes.experts_per_row),
      first_slot(store.n_experts()),
      wave_slots(std::max(slots_for(shapes.max_rows),
                          std::min(kWaveSlots, shapes.max_rows * shapes.experts_per_row))),
      packed(kernels.panel_min_rows <= shapes.max_rows
                 ? wave_slots * kernels::panel_elements(shapes.hidden_size) * sizeof(bf16_t)
                 : 0),
      intermediate(wave_slots * kernels::panel_elements(shapes.moe_intermediate_size) *
                   sizeof(bf16_t)),
      gather_elements(kernels::panel_elements(shapes.hidden_size)),
      gathered(team.size() * gather_elements * sizeof(bf16_t)),
      kernel_scratch_bytes(0),
      kernel_scratch(0) {
    if (kernels.panel_min_rows > shapes.max_rows) return;
    const std::size_t wanted =
        std::max(kernels.panel_scratch_bytes(shapes.hidden_size, shapes.max_rows),
                 kernels.panel_scratch_bytes(shapes.moe_intermediate_size, shapes.max_rows));
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
        const int n_group_slots = slots_for(groups[end].n_rows);
        if (n_slots + n_group_slots > wave_slots) break;
        first_slot[end - first_group] = n_slots;
        n_slots += n_group_slots;
        if (uses_panels(groups[end])) n_panels += n_group_slots;
    }
    check(end > first_group || groups.empty(), "a row chooses an expert at most once");
    wave = groups.subspan(first_group, end - first_group);
    is_first_wave = first_group == 0;
    return end;
}

void ExpertExecutor::State::work(int worker_idx) noexcept {
    if (n_panels > 0) {
        pack(worker_idx);
        team.barrier();
    }
    gate_up(worker_idx);
    team.barrier();
    down(worker_idx);
}

// Each worker packs a contiguous share of all panels of the wave.
void ExpertExecutor::State::pack(int worker_idx) noexcept {
    const numa::Share share = numa::share_of(n_panels, 1, worker_idx, team.size());
    int panel_idx = 0;
    for (std::size_t g = 0; g < wave.size(); ++g) {
        if (!uses_panels(wave[g])) continue;
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
    const std::size_t n =
        static_cast<std::size_t>(shapes.moe_intermediate_size) / 2 * 2 * kSlotRows;
    const std::size_t padded = kernels::panel_elements(shapes.moe_intermediate_size);
    std::memset(intermediate_slot(slot) + n, 0, (padded - n) * sizeof(bf16_t));
}

// Every worker takes a slice of every expert, so that workers stay even without a model of what an
// expert with many rows costs. The experts' cuts are shifted against each other, so that the
// rounding to units does not always fall on the same workers.
void ExpertExecutor::State::gate_up(int worker_idx) noexcept {
    const int n = shapes.moe_intermediate_size;
    const std::int64_t n_units = (n + kPanelUnit - 1) / kPanelUnit;
    const std::int64_t n_workers = team.size();
    std::int64_t shift = 0;
    const auto cut = [&](std::int64_t worker) {
        const std::int64_t units = (n_units * worker + shift) / n_workers;
        return static_cast<int>(std::min<std::int64_t>(units * kPanelUnit, n));
    };
    for (std::size_t g = 0; g < wave.size(); ++g) {
        const kernels::RowRange range{cut(worker_idx), cut(worker_idx + 1)};
        shift = (shift + n_units) % n_workers;
        if (range.begin == range.end) continue;
        const ExpertWeights& expert = weights(wave[g]);
        if (!uses_panels(wave[g])) {
            rows_gate_up(static_cast<int>(g), range, worker_idx);
            continue;
        }
        kernels.panels_gate_up({expert.gate, expert.up, range, packed_slot(first_slot[g]),
                                wave[g].n_rows, intermediate_slot(first_slot[g]),
                                scratch_of(worker_idx)});
    }
}

void ExpertExecutor::State::rows_gate_up(int group_idx,
                                         kernels::RowRange range,
                                         int worker_idx) noexcept {
    const ExpertGroup& group = wave[group_idx];
    const ExpertWeights& expert = weights(group);
    for (int i = 0; i < slots_for(group.n_rows); ++i) {
        const RowBatch rows = row_batch(group, i);
        const EvenRows x = even_rows(rows, worker_idx);
        kernels.rows_gate_up({expert.gate, expert.up, range, x.x, x.stride, rows.n_rows,
                              intermediate_slot(first_slot[group_idx] + i),
                              kernels::padded_depth(shapes.moe_intermediate_size)});
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

// A worker owns the same columns of dst for all experts, so the order of a row's sum is the order
// of the groups.
void ExpertExecutor::State::down(int worker_idx) noexcept {
    const int unit = n_panels > 0 ? kPanelUnit : kRowsUnit;
    const numa::Share share = numa::share_of(shapes.hidden_size, unit, worker_idx, team.size());
    if (share.begin == share.end) return;
    if (is_first_wave) {
        const std::size_t n_bytes = (share.end - share.begin) * sizeof(float);
        for (int r = 0; r < batch.n_rows; ++r) {
            float* row = batch.dst + static_cast<std::ptrdiff_t>(r) * shapes.hidden_size;
            std::memset(row + share.begin, 0, n_bytes);
        }
    }
    for (std::size_t g = 0; g < wave.size(); ++g) {
        const ExpertGroup& group = wave[g];
        if (!uses_panels(group)) {
            rows_down(static_cast<int>(g), {share.begin, share.end});
            continue;
        }
        kernels.panels_product({weights(group).down,
                                {share.begin, share.end},
                                intermediate_slot(first_slot[g]),
                                group.n_rows,
                                batch.dst,
                                shapes.hidden_size,
                                plan.gains().data() + group.first,
                                plan.rows().data() + group.first,
                                scratch_of(worker_idx)});
    }
}

void ExpertExecutor::State::rows_down(int group_idx, kernels::RowRange range) noexcept {
    const ExpertGroup& group = wave[group_idx];
    for (int i = 0; i < slots_for(group.n_rows); ++i) {
        const RowBatch rows = row_batch(group, i);
        kernels.rows_product({weights(group).down, range,
                              intermediate_slot(first_slot[group_idx] + i),
                              kernels::padded_depth(shapes.moe_intermediate_size), rows.n_rows,
                              batch.dst, shapes.hidden_size, plan.gains().data() + rows.first,
                              plan.rows().data() + rows.first});
    }
}

ExpertExecutor::ExpertExecutor(numa::Team& team,
                               const kernels::Table& kernels,
                               const ExpertStore& store,
                               const ExpertShapes& shapes) {
    const int hidden = shapes.hidden_size;
    const int inter = shapes.moe_intermediate_size;
    for (int layer = 0; layer < store.n_moe_layers(); ++layer) {
        for (int e = 0; e < store.n_experts(); ++e) {
            const ExpertWeights& expert = store.expert(layer, e);
            check(has_shape(expert.gate, inter, hidden) && has_shape(expert.up, inter, hidden) &&
                      has_shape(expert.down, hidden, inter),
                  "every expert has the executor's shapes");
        }
    }
    state_ = std::make_unique<State>(team, kernels, store, shapes);
}

ExpertExecutor::~ExpertExecutor() = default;

void ExpertExecutor::run(const ExpertBatch& batch) {
    State& state = *state_;
    check(batch.n_rows <= state.shapes.max_rows, "a batch has at most max_rows rows");
    const std::size_t n_entries = static_cast<std::size_t>(batch.n_rows) *
                                  static_cast<std::size_t>(state.shapes.experts_per_row);
    if (!state.plan.build({batch.expert_ids, n_entries}, {batch.gains, n_entries}, batch.n_rows)) {
        throw Error(fmt::format("layer {} of the experts: the router chose an expert outside 0..{}",
                                batch.moe_layer_idx, state.store.n_experts() - 1));
    }
    state.batch = batch;
    state.last_weight_bytes = 0;
    for (const ExpertGroup& group : state.plan.groups()) {
        const ExpertWeights& expert = state.weights(group);
        state.last_weight_bytes +=
            weight_bytes(expert.gate) + weight_bytes(expert.up) + weight_bytes(expert.down);
    }
    std::size_t next = 0;
    do {  // without any expert dst still becomes zero
        next = state.begin_wave(next);
        state.team.run([&](int worker_idx) { state.work(worker_idx); });
    } while (next < state.plan.groups().size());
}

std::uint64_t ExpertExecutor::last_weight_bytes() const noexcept {
    return state_->last_weight_bytes;
}

}  // namespace baltoro::experts
