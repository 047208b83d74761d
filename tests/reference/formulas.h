#pragma once

#include <span>
#include <vector>

#include "model/config.h"

namespace baltoro::reference {

// x / sqrt(mean(x^2) + eps) * gain
std::vector<double> rms_norm(std::span<const double> x, std::span<const double> gain, double eps);

double silu(double z);

// Angle per position of each rotated pair, qk_rope_head_dim / 2 of them: plain RoPE, or YaRN
// (arXiv 2309.00071, section 3.2: high frequencies stay, low ones are divided by the factor).
std::vector<double> rope_frequencies(const ModelConfig& config);

// Rotates the pairs (x[2i], x[2i + 1]) by position * frequencies[i].
void rotate(std::span<double> x, double position, std::span<const double> frequencies);

// What scores are multiplied by before the softmax.
double softmax_scale(const ModelConfig& config);

void softmax(std::span<double> x);

struct Routing {
    std::vector<int> experts;     // ascending
    std::vector<double> weights;  // of the experts, in the same order
};

// Selection by sigmoid score plus bias, within the best groups (noaux_tc); ties go to the lower
// index. Weights come from the score without the bias.
Routing route(const ModelConfig& config,
              std::span<const double> logits,
              std::span<const double> bias);

}  // namespace baltoro::reference
