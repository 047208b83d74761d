#include <cmath>

#include "tests/gpu_check/check_device.h"
#include "tests/gpu_check/random_values.h"

namespace baltoro::gpu_check {
namespace {

struct Case {
    int n_rows;
    int n;
    int padding;
    bool with_addend;
};

void check_case(const CheckDevice& device, const Case& c) {
    CAPTURE(device.name);
    CAPTURE(check_seed());
    CAPTURE(c.n_rows);
    CAPTURE(c.n);
    const auto rows = static_cast<std::size_t>(c.n_rows);
    const auto n = static_cast<std::size_t>(c.n);
    const std::size_t stride = n + static_cast<std::size_t>(c.padding);
    const double eps = 1e-6;
    const std::vector<float> x_values = random_floats(rows * stride, 1);
    const std::vector<float> addend_values = random_floats(rows * n, 2);
    const std::vector<bf16_t> gain_values = random_bf16(n, 3);
    const DeviceArray<float> x(device, x_values);
    const DeviceArray<float> addend(device, addend_values);
    const DeviceArray<bf16_t> gain(device, gain_values);
    const DeviceArray<float> dst(device, rows * n);
    const DeviceArray<bf16_t> dst_bf16(device, rows * n);

    device.kernels().rms_norm(
        device.stream(),
        {x.data(), static_cast<std::int64_t>(stride), c.with_addend ? addend.data() : nullptr,
         gain.data(), static_cast<float>(eps), c.n_rows, c.n, dst.data(), dst_bf16.data()});

    const std::vector<float> x_after = x.download();
    const std::vector<float> out = dst.download();
    const std::vector<bf16_t> out_bf16 = dst_bf16.download();
    int n_wrong = 0;
    for (std::size_t r = 0; r < rows; r++) {
        double squares = 0;
        for (std::size_t i = 0; i < n; i++) {
            const float value =
                x_values[r * stride + i] + (c.with_addend ? addend_values[r * n + i] : 0.0f);
            if (x_after[r * stride + i] != value) n_wrong++;
            squares += static_cast<double>(value) * static_cast<double>(value);
        }
        const double inverse = 1.0 / std::sqrt(squares / static_cast<double>(n) + eps);
        for (std::size_t i = 0; i < n; i++) {
            const double expected =
                from_bf16(gain_values[i]) * static_cast<double>(x_after[r * stride + i]) * inverse;
            // The sum of n squares carries at most n / 2 roundings each way into the root.
            const double bound = std::abs(expected) * 0x1p-24 * (static_cast<double>(n) / 256 + 16);
            if (!(std::abs(static_cast<double>(out[r * n + i]) - expected) <= bound)) n_wrong++;
            if (out_bf16[r * n + i] != bf16_from_float(out[r * n + i])) n_wrong++;
        }
        for (std::size_t i = n; i < stride; i++)
            if (x_after[r * stride + i] != x_values[r * stride + i]) n_wrong++;
    }
    CHECK(n_wrong == 0);
}

TEST_CASE("rms_norm scales every row by its root mean square") {
    for (const CheckDevice& device : check_devices()) {
        check_case(device, {1, 7168, 0, false});
        check_case(device, {3, 1, 5, false});
        check_case(device, {2, 257, 64, true});
        check_case(device, {5, 576, 64, true});
    }
}

}  // namespace
}  // namespace baltoro::gpu_check
