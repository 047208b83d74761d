#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "device/expert_choice.h"
#include "tests/gpu_check/check_device.h"
#include "tests/gpu_check/random_values.h"

namespace baltoro::gpu_check {
namespace {

struct Case {
    int n_rows;
    int n_experts;
    device::ExpertChoice rule;
    bool with_ties;
    bool with_nan;
};

// Ids must be those of the CPU's choice, whose tests compare it with the paper's formula; near-ties
// do not occur in the random values, and exact ties are put in on purpose.
void check_case(const CheckDevice& device, const Case& c) {
    CAPTURE(device.name);
    CAPTURE(check_seed());
    CAPTURE(c.n_experts);
    CAPTURE(c.rule.top_k);
    const auto n = static_cast<std::size_t>(c.n_experts);
    const auto rows = static_cast<std::size_t>(c.n_rows);
    const auto top_k = static_cast<std::size_t>(c.rule.top_k);
    std::vector<float> logit_values = random_floats(rows * n, 1);
    std::vector<float> bias_values = random_floats(n, 2, 0.1f);
    if (c.with_ties) {
        for (float& value : logit_values)
            value = std::round(value * 2) / 2;
        for (float& value : bias_values)
            value = 0.0f;
    }
    if (c.with_nan)
        for (std::size_t i = 0; i < logit_values.size(); i += 3)
            logit_values[i] = std::numeric_limits<float>::quiet_NaN();
    const DeviceArray<float> logits(device, logit_values);
    const DeviceArray<float> bias(device, bias_values);
    const DeviceArray<std::int32_t> ids(device, rows * top_k);
    const DeviceArray<float> gains(device, rows * top_k);
    const DeviceArray<std::int32_t> device_ids(device, rows * top_k);
    const DeviceArray<float> device_gains(device, rows * top_k);
    device.kernels().choose_experts(
        device.stream(),
        {logits.data(), bias.data(), c.n_rows, c.n_experts, c.rule.top_k, c.rule.n_group,
         c.rule.topk_group, c.rule.norm_topk_prob, c.rule.scaling_factor, ids.data(), gains.data(),
         device_ids.data(), device_gains.data()});
    CHECK(device_ids.download() == ids.download());
    const std::vector<std::int32_t> out_ids = ids.download();
    const std::vector<float> out_gains = gains.download();
    std::vector<float> choice(n);
    std::vector<std::int32_t> expected_ids(top_k);
    std::vector<float> expected_gains(top_k);
    int n_wrong = 0;
    for (std::size_t r = 0; r < rows; r++) {
        device::choose_experts(c.rule, {logit_values.data() + r * n, n}, bias_values.data(), choice,
                               expected_ids.data(), expected_gains.data());
        for (std::size_t k = 0; k < top_k; k++) {
            const float gain = out_gains[r * top_k + k];
            n_wrong += out_ids[r * top_k + k] != expected_ids[k] ? 1 : 0;
            if (std::isnan(expected_gains[k])) {
                n_wrong += std::isnan(gain) ? 0 : 1;
            } else {
                // Sigmoids, their sum and the quotient: a few roundings each.
                const float bound =
                    expected_gains[k] * 0x1p-24f * static_cast<float>(2 * c.rule.top_k + 16);
                n_wrong += std::abs(gain - expected_gains[k]) <= bound ? 0 : 1;
            }
        }
    }
    CHECK(n_wrong == 0);
}

TEST_CASE("choose_experts chooses as the CPU does") {
    for (const CheckDevice& device : check_devices()) {
        check_case(device, {3, 384, {8, 1, 1, true, 2.827f}, false, false});
        check_case(device, {3, 256, {8, 8, 4, true, 2.5f}, false, false});
        check_case(device, {2, 64, {6, 1, 1, false, 2.446f}, true, false});
        check_case(device, {4, 24, {4, 6, 2, true, 1.0f}, true, false});
        check_case(device, {2, 8, {8, 1, 1, true, 1.0f}, false, false});
        check_case(device, {2, 5, {2, 5, 3, true, 1.0f}, false, false});
        check_case(device, {2, 48, {6, 1, 1, true, 1.0f}, false, true});
    }
}

TEST_CASE("choose_experts follows the CPU for NaN in groups and for the largest shapes") {
    for (const CheckDevice& device : check_devices()) {
        check_case(device, {2, 48, {6, 6, 2, true, 1.0f}, false, true});
        check_case(device, {2, 24, {8, 8, 2, true, 1.0f}, true, true});  // more than the kept have
        check_case(device, {1, 1024, {32, 64, 7, false, 2.5f}, false, false});
        check_case(device, {2, 77, {9, 1, 1, true, 1.0f}, true, true});
    }
}

// The choice of one row by the paper's formulas, in double.
struct ExactChoice {
    std::vector<std::int32_t> ids;
    std::vector<double> gains;
    bool has_near_tie = false;  // which f32 may decide otherwise; exact ties are none
};

// Indices of the n largest values, ties to the lower index; notes a near tie at any place.
std::vector<std::size_t> largest(const std::vector<double>& values, int n, bool& has_near_tie) {
    std::vector<std::size_t> order(values.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::stable_sort(order.begin(), order.end(),
                     [&](std::size_t a, std::size_t b) { return values[a] > values[b]; });
    for (std::size_t i = 0; i < static_cast<std::size_t>(n) && i + 1 < order.size(); i++) {
        const double gap = values[order[i]] - values[order[i + 1]];
        has_near_tie = has_near_tie || (gap > 0 && gap < 1e-6);
    }
    order.resize(static_cast<std::size_t>(n));
    return order;
}

ExactChoice exact_choice(const device::ExpertChoice& rule,
                         const std::vector<float>& logits,
                         const std::vector<float>& bias) {
    ExactChoice exact;
    const std::size_t group_size = logits.size() / static_cast<std::size_t>(rule.n_group);
    std::vector<double> scores;
    std::vector<double> choice;
    for (std::size_t e = 0; e < logits.size(); e++) {
        scores.push_back(1 / (1 + std::exp(-static_cast<double>(logits[e]))));
        choice.push_back(scores[e] + static_cast<double>(bias[e]));
    }
    std::vector<double> group_scores;
    for (std::size_t first = 0; first < choice.size(); first += group_size) {
        std::vector<double> members(
            choice.begin() + static_cast<std::ptrdiff_t>(first),
            choice.begin() + static_cast<std::ptrdiff_t>(first + group_size));
        std::sort(members.rbegin(), members.rend());
        group_scores.push_back(members[0] + members[1]);
    }
    std::vector<double> kept(choice.size(), -std::numeric_limits<double>::infinity());
    for (const std::size_t g : largest(group_scores, rule.topk_group, exact.has_near_tie))
        for (std::size_t e = g * group_size; e < (g + 1) * group_size; e++)
            kept[e] = choice[e];
    double sum = 0;
    for (const std::size_t e : largest(kept, rule.top_k, exact.has_near_tie)) {
        exact.ids.push_back(static_cast<std::int32_t>(e));
        exact.gains.push_back(scores[e]);
        sum += scores[e];
    }
    for (double& gain : exact.gains)
        gain *= static_cast<double>(rule.scaling_factor) / (rule.norm_topk_prob ? sum : 1.0);
    return exact;
}

// Logits and biases are multiples of 1/4 and 1/16, so that exact ties are many; rows where two
// different sums lie within 1e-6 are left out.
void check_against_formula(const CheckDevice& device, int n_experts, device::ExpertChoice rule) {
    CAPTURE(device.name);
    CAPTURE(check_seed());
    CAPTURE(n_experts);
    constexpr std::size_t kRows = 12;
    const auto n = static_cast<std::size_t>(n_experts);
    const auto top_k = static_cast<std::size_t>(rule.top_k);
    Random random(check_seed() * 31 + n);
    std::vector<float> logit_values(kRows * n);
    std::vector<float> bias_values(n);
    for (float& value : logit_values)
        value = static_cast<float>(random.below(33)) / 4.0f - 4.0f;
    for (float& value : bias_values)
        value = static_cast<float>(random.below(9)) / 16.0f - 0.25f;
    const DeviceArray<float> logits(device, logit_values);
    const DeviceArray<float> bias(device, bias_values);
    const DeviceArray<std::int32_t> ids(device, kRows * top_k);
    const DeviceArray<float> gains(device, kRows * top_k);
    device.kernels().choose_experts(
        device.stream(), {logits.data(), bias.data(), static_cast<int>(kRows), n_experts,
                          rule.top_k, rule.n_group, rule.topk_group, rule.norm_topk_prob,
                          rule.scaling_factor, ids.data(), gains.data(), nullptr, nullptr});
    const std::vector<std::int32_t> out_ids = ids.download();
    const std::vector<float> out_gains = gains.download();
    int n_wrong = 0;
    int n_checked = 0;
    for (std::size_t r = 0; r < kRows; r++) {
        const auto first = logit_values.begin() + static_cast<std::ptrdiff_t>(r * n);
        const ExactChoice exact =
            exact_choice(rule, {first, first + static_cast<std::ptrdiff_t>(n)}, bias_values);
        if (exact.has_near_tie) continue;
        n_checked++;
        for (std::size_t k = 0; k < top_k; k++) {
            const double gain = static_cast<double>(out_gains[r * top_k + k]);
            n_wrong += out_ids[r * top_k + k] != exact.ids[k] ? 1 : 0;
            const double bound = exact.gains[k] * 0x1p-24 * (2 * rule.top_k + 16);
            n_wrong += std::abs(gain - exact.gains[k]) <= bound ? 0 : 1;
        }
    }
    CHECK(n_wrong == 0);
    CHECK(n_checked >= static_cast<int>(kRows) / 2);
}

TEST_CASE("choose_experts is the paper's choice, computed in double") {
    for (const CheckDevice& device : check_devices()) {
        check_against_formula(device, 384, {8, 1, 1, true, 2.827f});
        check_against_formula(device, 64, {6, 8, 3, true, 2.5f});
        check_against_formula(device, 40, {5, 4, 2, false, 1.5f});
    }
}

}  // namespace
}  // namespace baltoro::gpu_check
