#pragma once

#include <vector>

#include "model/config.h"

namespace baltoro {

// Rotary frequencies f_i, i in [0, qk_rope_head_dim / 2): pair (x[2i], x[2i+1]) of a token at `pos`
// is rotated by pos * f_i. YaRN (Peng et al. 2023, arXiv 2309.00071, as in DeepSeek's code):
// dimensions that turn often keep theta^(-2i/d), slow ones are divided by `factor`, with a ramp
// between.
std::vector<double> rope_frequencies(const ModelConfig& config);

// Softmax scale: qk_head_dim^-0.5, times (0.1 mscale_all_dim ln(factor) + 1)^2 under YaRN.
double attention_scale(const ModelConfig& config);

}  // namespace baltoro
