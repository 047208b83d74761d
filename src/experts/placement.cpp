#include "experts/placement.h"

#include "base/check.h"

namespace baltoro::experts {
namespace {

using kernels::kScaleBlock;
using kernels::Weight;
using kernels::WeightFormat;

const void* element(const Weight& w, std::ptrdiff_t at) {
    return w.format == WeightFormat::bf16
               ? static_cast<const void*>(static_cast<const bf16_t*>(w.data) + at)
               : static_cast<const void*>(static_cast<const e4m3_t*>(w.data) + at);
}

Weight rows_of(const Weight& w, numa::Share slice) {
    const std::ptrdiff_t n_block_columns = kernels::n_scale_blocks(w.k);
    Weight rows = w;
    rows.n = slice.end - slice.begin;
    rows.data = element(w, slice.begin * w.stride);
    if (w.scale != nullptr) rows.scale = w.scale + slice.begin / kScaleBlock * n_block_columns;
    return rows;
}

Weight columns_of(const Weight& w, numa::Share slice) {
    Weight columns = w;
    columns.k = slice.end - slice.begin;
    columns.data = element(w, slice.begin);
    if (w.scale != nullptr) columns.scale = w.scale + slice.begin / kScaleBlock;
    return columns;
}

}  // namespace

Placement place_experts(const numa::Team& team, int moe_intermediate_size) {
    Placement placement;
    for (int i = 0; i < team.size(); ++i) {
        const int node = team.place(i).node_idx;
        check(placement.nodes.empty() || node >= placement.nodes.back(),
              "a team's workers are sorted by node");
        if (placement.nodes.empty() || node != placement.nodes.back())
            placement.nodes.push_back(node);
    }
    const int n_nodes = static_cast<int>(placement.nodes.size());
    for (int j = 0; j < n_nodes; ++j)
        placement.slices.push_back(numa::share_of(moe_intermediate_size, kScaleBlock, j, n_nodes));
    return placement;
}

ExpertWeights slice_of(const ExpertWeights& expert, numa::Share slice) noexcept {
    check(slice.begin % kScaleBlock == 0, "slices are cut between scale blocks");
    return {rows_of(expert.gate, slice), rows_of(expert.up, slice), columns_of(expert.down, slice)};
}

}  // namespace baltoro::experts
