#pragma once

#include <cstdint>
#include <span>

namespace baltoro::device {

// How the noaux_tc router chooses (DeepSeek-V3, arXiv 2412.19437, 2.1.2).
struct ExpertChoice {
    int top_k = 0;
    int n_group = 1;
    int topk_group = 1;
    bool norm_topk_prob = true;
    float scaling_factor = 1.0f;
};

// Chooses the experts of one token. Allocates nothing; any thread.
//   logits  f32 [n_experts], overwritten by sigmoid(logits)
//   bias    f32 [n_experts], added for the choice only
//   choice  scratch f32 [n_experts]
//   ids     [top_k], best choice first, ties to the lower index; gains [top_k]
// A NaN logit is never chosen before a number.
void choose_experts(const ExpertChoice& rule,
                    std::span<float> logits,
                    const float* bias,
                    std::span<float> choice,
                    std::int32_t* ids,
                    float* gains) noexcept;

}  // namespace baltoro::device
