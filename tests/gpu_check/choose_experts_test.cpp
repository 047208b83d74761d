#include <cmath>
#include <limits>

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

}  // namespace
}  // namespace baltoro::gpu_check
