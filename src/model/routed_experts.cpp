#include "model/routed_experts.h"

namespace baltoro {

std::size_t RoutedExperts::bytes_per_row(int n_chosen) const noexcept {
    std::size_t bytes = 0;
    for (const experts::ExpertStore& store : node_stores())
        for (int l = 0; l < store.n_moe_layers(); l++)
            bytes += experts::weight_bytes(store.expert(l, 0));
    return bytes * static_cast<std::size_t>(n_chosen);
}

}  // namespace baltoro
