#include "tests/reference/formulas.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <numeric>

namespace baltoro::reference {
namespace {

constexpr double kDropped = -std::numeric_limits<double>::infinity();

// YaRN's m: the growth of the softmax temperature with the context.
double yarn_mscale(double factor, double k) {
    return factor <= 1 ? 1.0 : 0.1 * k * std::log(factor) + 1;
}

// The (fractional) pair that turns `rotations` times within the original context.
double pair_with_rotations(const ModelConfig& config, double rotations) {
    const double length = config.yarn->original_max_position_embeddings;
    return config.qk_rope_head_dim * std::log(length / (rotations * 2 * std::numbers::pi)) /
           (2 * std::log(config.rope_theta));
}

// The n indices with the largest values, best first, the lower index on ties.
std::vector<int> top_indices(std::span<const double> values, int n) {
    std::vector<int> indices(values.size());
    std::iota(indices.begin(), indices.end(), 0);
    std::stable_sort(indices.begin(), indices.end(),
                     [&](int a, int b) { return values[a] > values[b]; });
    indices.resize(n);
    return indices;
}

// A group counts as much as its two best experts together.
std::vector<double> group_scores(std::span<const double> choice, int n_group) {
    const std::size_t group_size = choice.size() / n_group;
    std::vector<double> scores;
    for (int g = 0; g < n_group; ++g) {
        const auto group = choice.subspan(g * group_size, group_size);
        double score = 0;
        for (const int i : top_indices(group, std::min<int>(2, static_cast<int>(group_size))))
            score += group[i];
        scores.push_back(score);
    }
    return scores;
}

void drop_other_groups(std::span<double> choice, int n_group, int topk_group) {
    const std::vector<int> kept = top_indices(group_scores(choice, n_group), topk_group);
    const std::size_t group_size = choice.size() / n_group;
    for (std::size_t e = 0; e < choice.size(); ++e) {
        const int group = static_cast<int>(e / group_size);
        if (std::ranges::find(kept, group) == kept.end()) choice[e] = kDropped;
    }
}

}  // namespace

std::vector<double> rms_norm(std::span<const double> x, std::span<const double> gain, double eps) {
    double sum_of_squares = 0;
    for (const double value : x)
        sum_of_squares += value * value;
    const double size = std::sqrt(sum_of_squares / static_cast<double>(x.size()) + eps);
    std::vector<double> y(x.size());
    for (std::size_t i = 0; i < x.size(); ++i)
        y[i] = gain[i] * (x[i] / size);
    return y;
}

double silu(double z) {
    return z / (1 + std::exp(-z));
}

std::vector<double> rope_frequencies(const ModelConfig& config) {
    const int d = config.qk_rope_head_dim;
    std::vector<double> frequencies;
    for (int i = 0; i < d / 2; ++i)
        frequencies.push_back(std::pow(config.rope_theta, -2.0 * i / d));
    if (!config.yarn) return frequencies;

    const double low =
        std::max(std::floor(pair_with_rotations(config, config.yarn->beta_fast)), 0.0);
    double high = std::min(std::ceil(pair_with_rotations(config, config.yarn->beta_slow)), d - 1.0);
    if (low == high) high += 0.001;
    for (int i = 0; i < d / 2; ++i) {
        const double ramp = std::clamp((i - low) / (high - low), 0.0, 1.0);
        const double interpolated = frequencies[i] / config.yarn->factor;
        frequencies[i] = interpolated * ramp + frequencies[i] * (1 - ramp);
    }
    return frequencies;
}

void rotate(std::span<double> x, double position, std::span<const double> frequencies) {
    for (std::size_t i = 0; i < frequencies.size(); ++i) {
        const double angle = position * frequencies[i];
        const double x0 = x[2 * i];
        const double x1 = x[2 * i + 1];
        x[2 * i] = x0 * std::cos(angle) - x1 * std::sin(angle);
        x[2 * i + 1] = x1 * std::cos(angle) + x0 * std::sin(angle);
    }
}

double softmax_scale(const ModelConfig& config) {
    const double scale = 1 / std::sqrt(config.qk_nope_head_dim + config.qk_rope_head_dim);
    if (!config.yarn || config.yarn->mscale_all_dim == 0) return scale;
    const double m = yarn_mscale(config.yarn->factor, config.yarn->mscale_all_dim);
    return scale * m * m;
}

void softmax(std::span<double> x) {
    const double largest = *std::ranges::max_element(x);
    double sum = 0;
    for (double& value : x)
        sum += value = std::exp(value - largest);
    for (double& value : x)
        value /= sum;
}

Routing route(const ModelConfig& config,
              std::span<const double> logits,
              std::span<const double> bias) {
    std::vector<double> score(logits.size());
    std::vector<double> choice(logits.size());
    for (std::size_t e = 0; e < logits.size(); ++e) {
        score[e] = 1 / (1 + std::exp(-logits[e]));
        choice[e] = score[e] + bias[e];
    }
    drop_other_groups(choice, config.n_group, config.topk_group);
    Routing routing{.experts = top_indices(choice, config.num_experts_per_tok), .weights = {}};
    std::ranges::sort(routing.experts);
    double sum = 0;
    for (const int e : routing.experts)
        sum += score[e];
    for (const int e : routing.experts) {
        const double weight = config.norm_topk_prob ? score[e] / (sum + 1e-20) : score[e];
        routing.weights.push_back(weight * config.routed_scaling_factor);
    }
    return routing;
}

}  // namespace baltoro::reference
