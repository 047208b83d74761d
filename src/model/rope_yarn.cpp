#include "model/rope_yarn.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <numbers>

namespace baltoro {
namespace {

// The (fractional) dimension pair that turns `rotations` times over the original context.
double pair_at_rotations(const ModelConfig& config, double rotations) {
    const YarnConfig& yarn = *config.yarn;
    return config.qk_rope_head_dim *
           std::log(yarn.original_max_position_embeddings / (rotations * 2.0 * std::numbers::pi)) /
           (2.0 * std::log(config.rope_theta));
}

}  // namespace

YarnRamp yarn_ramp(const ModelConfig& config) {
    const double low = std::floor(pair_at_rotations(config, config.yarn->beta_fast));
    const double high = std::ceil(pair_at_rotations(config, config.yarn->beta_slow));
    return {.low = std::max(low, 0.0), .high = std::min(high, config.qk_rope_head_dim - 1.0)};
}

double yarn_magnitude(const ModelConfig& config) {
    if (!config.yarn || config.yarn->factor <= 1.0) return 1.0;
    return 0.1 * config.yarn->mscale_all_dim * std::log(config.yarn->factor) + 1.0;
}

std::vector<double> rope_frequencies(const ModelConfig& config) {
    const int n_pairs = config.qk_rope_head_dim / 2;
    std::vector<double> frequencies(static_cast<std::size_t>(n_pairs));
    for (int i = 0; i < n_pairs; ++i) {
        frequencies[i] = std::pow(config.rope_theta, -2.0 * i / config.qk_rope_head_dim);
    }
    if (!config.yarn) return frequencies;
    auto [low, high] = yarn_ramp(config);
    if (low == high) high += 0.001;
    for (int i = 0; i < n_pairs; ++i) {
        const double ramp = std::clamp((i - low) / (high - low), 0.0, 1.0);
        frequencies[i] *= ramp / config.yarn->factor + (1.0 - ramp);
    }
    return frequencies;
}

double attention_scale(const ModelConfig& config) {
    const double magnitude = yarn_magnitude(config);
    return magnitude * magnitude / std::sqrt(static_cast<double>(config.qk_head_dim()));
}

}  // namespace baltoro
