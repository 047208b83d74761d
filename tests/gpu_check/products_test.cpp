#include <algorithm>
#include <cmath>
#include <utility>

#include "tests/gpu_check/check_device.h"
#include "tests/gpu_check/random_values.h"
#include "tests/gpu_check/weight_case.h"

namespace baltoro::gpu_check {
namespace {

using gpu::WeightFormat;

std::size_t area(int a, int b) {
    return static_cast<std::size_t>(a) * static_cast<std::size_t>(b);
}

struct Case {
    WeightFormat format;
    int n_rows;
    int n;
    int k;
    Fill fill;
    bool x_is_f32;
    bool accumulate;
};

void check_row_product(const CheckDevice& device, const Case& c) {
    CAPTURE(device.name);
    CAPTURE(c.n_rows);
    CAPTURE(c.n);
    CAPTURE(c.k);
    const WeightCase w(device, c.format, c.n, c.k, c.fill, 1);
    const std::vector<float> f32_values = random_floats(area(c.n_rows, c.k), 2);
    const std::vector<bf16_t> bf16_values = random_bf16(area(c.n_rows, c.k), 2);
    const std::vector<float> before = random_floats(area(c.n_rows, c.n), 3);
    const DeviceArray<float> x_f32(device, f32_values);
    const DeviceArray<bf16_t> x(device, bf16_values);
    const DeviceArray<float> dst(device, before);
    device.kernels().row_product(device.stream(),
                                 {w.view(), x.data(), c.x_is_f32 ? x_f32.data() : nullptr, c.n_rows,
                                  dst.data(), c.accumulate});
    const std::vector<float> out = dst.download();
    int n_wrong = 0;
    for (int r = 0; r < c.n_rows; r++) {
        for (int i = 0; i < c.n; i++) {
            Expected expected = expected_dot(w, i, [&](int j) {
                const std::size_t at = area(r, c.k) + static_cast<std::size_t>(j);
                return c.x_is_f32 ? static_cast<double>(f32_values[at])
                                  : from_bf16(bf16_values[at]);
            });
            const std::size_t at = area(r, c.n) + static_cast<std::size_t>(i);
            if (c.accumulate) {
                expected.value += static_cast<double>(before[at]);
                expected.bound += 0x1p-24 * std::abs(expected.value);
            }
            n_wrong += is_within(expected, static_cast<double>(out[at])) ? 0 : 1;
        }
    }
    CHECK(n_wrong == 0);
}

TEST_CASE("row_product is within the bound for all formats, ragged shapes and fills") {
    for (const CheckDevice& device : check_devices()) {
        const WeightFormat fp8 = WeightFormat::fp8_block;
        check_row_product(device, {fp8, 1, 9, 2304, Fill::all_codes, false, false});
        check_row_product(device, {fp8, 3, 131, 144, Fill::normal, false, true});
        check_row_product(device, {fp8, 16, 6, 2064, Fill::extremes, false, false});
        check_row_product(device, {fp8, 21, 5, 272, Fill::normal, true, false});
        check_row_product(device, {WeightFormat::bf16, 1, 130, 48, Fill::normal, false, false});
        check_row_product(device, {WeightFormat::bf16, 7, 5, 2064, Fill::normal, true, true});
        check_row_product(device, {WeightFormat::f32, 2, 3, 2064, Fill::normal, true, false});
        check_row_product(device, {WeightFormat::f32, 5, 9, 16, Fill::normal, false, false});
    }
}

TEST_CASE("a row of row_product has the same bits whatever is computed with it") {
    for (const CheckDevice& device : check_devices()) {
        CAPTURE(device.name);
        constexpr int kRows = 19;
        constexpr int n = 6;
        constexpr int k = 2320;
        const WeightCase w(device, WeightFormat::fp8_block, n, k, Fill::normal, 1);
        const DeviceArray<bf16_t> x(device, random_bf16(area(kRows, k), 2));
        const DeviceArray<float> alone(device, area(kRows, n));
        for (int r = 0; r < kRows; r++)
            device.kernels().row_product(device.stream(), {w.view(), x.data() + r * k, nullptr, 1,
                                                           alone.data() + r * n, false});
        const std::vector<float> expected = alone.download();
        for (const int n_rows : {2, 3, 8, 16, 19}) {
            CAPTURE(n_rows);
            const DeviceArray<float> together(device, area(n_rows, n));
            device.kernels().row_product(
                device.stream(), {w.view(), x.data(), nullptr, n_rows, together.data(), false});
            const std::vector<float> out = together.download();
            CHECK(std::equal(out.begin(), out.end(), expected.begin()));
        }
    }
}

void check_gated(const CheckDevice& device, WeightFormat format, int n_rows, int n, int k) {
    CAPTURE(device.name);
    CAPTURE(n_rows);
    CAPTURE(n);
    const WeightCase gate(device, format, n, k, Fill::normal, 1);
    const WeightCase up(device, format, n, k, Fill::all_codes, 2);
    const std::vector<bf16_t> x_values = random_bf16(area(n_rows, k), 3, 0.05f);
    const DeviceArray<bf16_t> x(device, x_values);
    const DeviceArray<bf16_t> dst(device, area(n_rows, n));
    device.kernels().gated_row_product(device.stream(),
                                       {gate.view(), up.view(), x.data(), n_rows, dst.data()});
    const std::vector<bf16_t> out = dst.download();
    int n_wrong = 0;
    for (int r = 0; r < n_rows; r++) {
        const auto x_at = [&](int j) {
            return from_bf16(x_values[area(r, k) + static_cast<std::size_t>(j)]);
        };
        for (int i = 0; i < n; i++) {
            const Expected expected =
                expected_gated(expected_dot(gate, i, x_at), expected_dot(up, i, x_at));
            const double got = from_bf16(out[area(r, n) + static_cast<std::size_t>(i)]);
            n_wrong += is_within(expected, got) ? 0 : 1;
        }
    }
    CHECK(n_wrong == 0);
}

TEST_CASE("gated_row_product is silu(gate x) (up x)") {
    for (const CheckDevice& device : check_devices()) {
        check_gated(device, WeightFormat::fp8_block, 1, 7, 2304);
        check_gated(device, WeightFormat::fp8_block, 18, 133, 144);
        check_gated(device, WeightFormat::bf16, 4, 5, 160);
        check_gated(device, WeightFormat::f32, 2, 3, 32);
    }
}

TEST_CASE("dequantise gives the nearest bf16 of every weight times its scale") {
    for (const CheckDevice& device : check_devices()) {
        for (const std::pair<int, int>& shape :
             {std::pair<int, int>{131, 272}, {3, 4096}, {5, 37}}) {
            const int n = shape.first;
            const int k = shape.second;
            for (const WeightFormat format : {WeightFormat::fp8_block, WeightFormat::f32}) {
                CAPTURE(device.name);
                CAPTURE(k);
                const WeightCase w(device, format, n, k, Fill::all_codes, 1);
                const DeviceArray<bf16_t> dst(device, area(n, k));
                device.kernels().dequantise(device.stream(), {w.view(), dst.data()});
                const std::vector<bf16_t> out = dst.download();
                int n_wrong = 0;
                for (int i = 0; i < n; i++) {
                    for (int j = 0; j < k; j++) {
                        // Code times scale, rounded to f32 (the product of two of its values).
                        const bf16_t expected = bf16_from_float(static_cast<float>(w.at(i, j)));
                        n_wrong +=
                            out[area(i, k) + static_cast<std::size_t>(j)] != expected ? 1 : 0;
                    }
                }
                CHECK(n_wrong == 0);
            }
        }
    }
}

TEST_CASE("dequantise takes more rows than a grid has in its second dimension") {
    const CheckDevice& device = check_devices().front();
    constexpr int n = 65537;
    const WeightCase w(device, WeightFormat::fp8_block, n, 16, Fill::all_codes, 1);
    const DeviceArray<bf16_t> dst(device, area(n, 16));
    device.kernels().dequantise(device.stream(), {w.view(), dst.data()});
    const std::vector<bf16_t> out = dst.download();
    CHECK(out.back() == bf16_from_float(static_cast<float>(w.at(n - 1, 15))));
}

}  // namespace
}  // namespace baltoro::gpu_check
