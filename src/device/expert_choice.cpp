#include "device/expert_choice.h"

#include <cmath>
#include <limits>

namespace baltoro::device {
namespace {

constexpr float kDropped = -std::numeric_limits<float>::infinity();

// The sum of a group's two best choices (its only one if it has one member).
float group_score(std::span<const float> choice) noexcept {
    float best = kDropped;
    float second = kDropped;
    for (const float value : choice) {
        if (value > best) {
            second = best;
            best = value;
        } else if (value > second) {
            second = value;
        }
    }
    return choice.size() > 1 ? best + second : best;
}

// Keeps the topk_group groups with the best scores (ties to the lower group): a group stays if
// fewer than topk_group others beat it.
void drop_groups(const ExpertChoice& rule, std::span<float> choice) noexcept {
    const std::size_t group_size = choice.size() / static_cast<std::size_t>(rule.n_group);
    constexpr int kMaxGroups = 64;
    float scores[kMaxGroups];
    for (int g = 0; g < rule.n_group; g++)
        scores[g] =
            group_score(choice.subspan(static_cast<std::size_t>(g) * group_size, group_size));
    for (int g = 0; g < rule.n_group; g++) {
        int n_better = 0;
        for (int other = 0; other < rule.n_group; other++) {
            const bool wins_tie = scores[other] == scores[g] && other < g;
            if (scores[other] > scores[g] || wins_tie) n_better++;
        }
        if (n_better < rule.topk_group) continue;
        for (float& value : choice.subspan(static_cast<std::size_t>(g) * group_size, group_size))
            value = kDropped;
    }
}

}  // namespace

void choose_experts(const ExpertChoice& rule,
                    std::span<float> logits,
                    const float* bias,
                    std::span<float> choice,
                    std::int32_t* ids,
                    float* gains) noexcept {
    for (std::size_t i = 0; i < logits.size(); i++) {
        logits[i] = 1.0f / (1.0f + std::exp(-logits[i]));
        choice[i] = logits[i] + bias[i];
        if (std::isnan(choice[i])) choice[i] = std::numeric_limits<float>::lowest();
    }
    if (rule.n_group > 1) drop_groups(rule, choice);

    float sum = 0.0f;
    for (int k = 0; k < rule.top_k; k++) {
        std::size_t best = 0;
        for (std::size_t i = 1; i < choice.size(); i++)
            if (choice[i] > choice[best]) best = i;
        ids[k] = static_cast<std::int32_t>(best);
        gains[k] = logits[best];
        sum += gains[k];
        choice[best] = -std::numeric_limits<float>::infinity();
    }
    const float factor =
        rule.norm_topk_prob ? rule.scaling_factor / (sum + 1e-20f) : rule.scaling_factor;
    for (int k = 0; k < rule.top_k; k++)
        gains[k] *= factor;
}

}  // namespace baltoro::device
