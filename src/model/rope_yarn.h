#pragma once

#include <vector>

#include "model/config.h"

namespace baltoro {

// Rotary frequencies f_i, i in [0, qk_rope_head_dim / 2): pair (x[2i], x[2i+1]) of a token at `pos`
// is rotated by pos * f_i. YaRN (Peng et al. 2023, arXiv 2309.00071, as in DeepSeek's code):
// dimensions that turn often keep theta^(-2i/d), slow ones are divided by `factor`, with a ramp
// between.
std::vector<double> rope_frequencies(const ModelConfig& config);

// Between these dimension pairs YaRN goes over from the original frequencies to divided ones.
struct YarnRamp {
    double low = 0;
    double high = 0;
};

// Precondition: config.yarn has a value.
YarnRamp yarn_ramp(const ModelConfig& config);

// 0.1 mscale_all_dim ln(factor) + 1 under YaRN, else 1. Cosine and sine are not multiplied by
// anything: a configuration where mscale and mscale_all_dim differ is refused when it is read.
double yarn_magnitude(const ModelConfig& config);

// Softmax scale: qk_head_dim^-0.5, times (0.1 mscale_all_dim ln(factor) + 1)^2 under YaRN.
double attention_scale(const ModelConfig& config);

}  // namespace baltoro
