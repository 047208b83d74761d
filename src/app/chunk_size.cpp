#include "app/chunk_size.h"

#include <algorithm>

namespace baltoro {

int default_chunk_size(const ModelConfig& config) noexcept {
    constexpr int kUnit = 512;
    constexpr int kMost = 2048;
    constexpr int kTokensOfExpert = 40;
    if (config.n_routed_experts == 0) return kUnit;
    const int wanted = kTokensOfExpert * config.n_routed_experts / config.num_experts_per_tok;
    return std::clamp((wanted + kUnit - 1) / kUnit * kUnit, kUnit, kMost);
}

}  // namespace baltoro
