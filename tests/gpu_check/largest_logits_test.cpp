#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "tests/gpu_check/check_device.h"
#include "tests/gpu_check/random_values.h"

namespace baltoro::gpu_check {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

// Indices of the k best of a row, found by sorting all of it.
std::vector<std::int32_t> best_by_sorting(const float* row, int n, int k) {
    const auto rank_value = [row](std::int32_t i) {
        return std::isnan(row[i]) ? -kInfinity : row[i];
    };
    std::vector<std::int32_t> ids(static_cast<std::size_t>(n));
    std::iota(ids.begin(), ids.end(), 0);
    std::stable_sort(ids.begin(), ids.end(),
                     [&](std::int32_t a, std::int32_t b) { return rank_value(a) > rank_value(b); });
    ids.resize(static_cast<std::size_t>(k));
    return ids;
}

void check_rows(const CheckDevice& device, const std::vector<float>& logit_values, int n, int k) {
    CAPTURE(device.name);
    CAPTURE(check_seed());
    CAPTURE(n);
    CAPTURE(k);
    const int n_rows = static_cast<int>(logit_values.size()) / n;
    const auto size = static_cast<std::size_t>(n_rows * k);
    const DeviceArray<float> logits(device, logit_values);
    const DeviceArray<std::int32_t> ids(device, size);
    const DeviceArray<float> values(device, size);
    device.kernels().largest_logits(device.stream(),
                                    {logits.data(), n_rows, n, k, ids.data(), values.data()});
    const std::vector<std::int32_t> out_ids = ids.download();
    const std::vector<float> out_values = values.download();
    int n_wrong = 0;
    for (int r = 0; r < n_rows; r++) {
        const float* row = logit_values.data() + static_cast<std::ptrdiff_t>(r) * n;
        const std::vector<std::int32_t> expected = best_by_sorting(row, n, k);
        for (int i = 0; i < k; i++) {
            const auto at = static_cast<std::size_t>(r * k + i);
            const float logit = row[expected[static_cast<std::size_t>(i)]];
            const float value = std::isnan(logit) ? -kInfinity : logit;
            n_wrong += out_ids[at] != expected[static_cast<std::size_t>(i)] ? 1 : 0;
            n_wrong += out_values[at] != value ? 1 : 0;
        }
    }
    CHECK(n_wrong == 0);
}

TEST_CASE("largest_logits finds the best of every row, in order") {
    for (const CheckDevice& device : check_devices()) {
        check_rows(device, random_floats(1, 1), 1, 1);
        check_rows(device, random_floats(3 * 7, 2), 7, 7);
        check_rows(device, random_floats(2 * 64, 3), 64, 64);
        check_rows(device, random_floats(2 * 1021, 4), 1021, 64);
        check_rows(device, random_floats(3 * 4099, 5), 4099, 5);
        check_rows(device, random_floats(2 * 20000, 6), 20000, 64);
    }
}

TEST_CASE("largest_logits over a vocabulary of Kimi-K2's size") {
    const std::vector<float> logits = random_floats(163840, 1);
    for (const CheckDevice& device : check_devices())
        check_rows(device, logits, 163840, 64);
}

TEST_CASE("largest_logits gives ties to the lower index, however many there are") {
    std::vector<float> few_values = random_floats(2 * 9000, 1);
    for (float& value : few_values)
        value = std::round(value);
    std::vector<float> zeros(6000, 0.0f);  // of both signs, which are equal
    for (std::size_t i = 0; i < zeros.size(); i += 3)
        zeros[i] = -0.0f;
    for (const CheckDevice& device : check_devices()) {
        check_rows(device, few_values, 9000, 64);
        check_rows(device, std::vector<float>(12000, -1.5f), 12000, 64);
        check_rows(device, zeros, 6000, 3);
    }
}

TEST_CASE("largest_logits takes NaN for -infinity and knows infinities") {
    std::vector<float> sparse(2 * 5000, kNan);
    for (std::size_t i = 0; i < sparse.size(); i += 333)
        sparse[i] = static_cast<float>(i % 7) - 3.0f;
    sparse[10] = kInfinity;
    sparse[4990] = kInfinity;
    sparse[3] = -kInfinity;
    sparse[5001] = -std::numeric_limits<float>::max();
    for (const CheckDevice& device : check_devices()) {
        check_rows(device, sparse, 5000, 40);
        check_rows(device, std::vector<float>(4100, kNan), 4100, 64);
        check_rows(device, std::vector<float>(4100, kInfinity), 4100, 2);
    }
}

// The large logits meet in 5 of the 256 groups of threads, so the first bound lets all 5120 pass.
TEST_CASE("largest_logits narrows its bound where too many logits reach it") {
    constexpr int n = 64 * 4096;
    std::vector<float> logits = random_floats(n, 1, 0.01f);
    for (std::size_t i = 0; i < n; i++)
        if (i % 4096 < 16 * 5) logits[i] = 100.0f + std::abs(logits[i]);
    std::vector<float> ascending(40000);
    std::iota(ascending.begin(), ascending.end(), -20000.0f);
    for (const CheckDevice& device : check_devices()) {
        check_rows(device, logits, n, 64);
        check_rows(device, logits, n, 1);
        check_rows(device, ascending, 40000, 33);
    }
}

}  // namespace
}  // namespace baltoro::gpu_check
