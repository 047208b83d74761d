#pragma once

#include <cstdint>
#include <vector>

namespace baltoro {

// What happened inside forward steps, for `baltoro eval`; every step appends its rows.
struct Trace {
    std::vector<std::vector<float>> hidden;  // [n_layers][rows * hidden_size], after each layer
    std::vector<std::vector<std::int32_t>>
        routed_experts;  // [n_moe_layers][rows * top_k], best choice first
};

}  // namespace baltoro
