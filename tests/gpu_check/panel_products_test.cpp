// Products of many rows, by the kernel and as the platform prefers to make them.

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

// How a product is queued: by the kernel, or as the platform prefers.
using Multiply = void (*)(const CheckDevice& device, const gpu::PanelProduct& args);

void by_kernel(const CheckDevice& device, const gpu::PanelProduct& args) {
    device.kernels().panel_product(device.stream(), args);
}

void by_platform(const CheckDevice& device, const gpu::PanelProduct& args) {
    if (!device.platform->is_prepared(args.n, args.k))
        device.platform->prepare(args.w, args.n, args.k);
    device.platform->panel_product(args);
}

struct PanelCase {
    int n_rows;
    int n;
    int k;
    bool to_bf16;
    bool accumulate;
};

void check_panel(const CheckDevice& device, Multiply multiply, const PanelCase& c) {
    CAPTURE(device.name);
    CAPTURE(c.n_rows);
    CAPTURE(c.n);
    CAPTURE(c.k);
    const WeightCase w(device, WeightFormat::bf16, c.n, c.k, Fill::normal, 1);
    const std::vector<bf16_t> x_values = random_bf16(area(c.n_rows, c.k), 2);
    const std::vector<float> before = random_floats(area(c.n_rows, c.n), 3);
    const DeviceArray<bf16_t> x(device, x_values);
    const DeviceArray<float> dst(device, before);
    const DeviceArray<bf16_t> dst_bf16(device, area(c.n_rows, c.n));
    multiply(device, {static_cast<const bf16_t*>(w.view().data), x.data(), c.n, c.k, c.n_rows,
                      c.to_bf16 ? nullptr : dst.data(), c.to_bf16 ? dst_bf16.data() : nullptr,
                      c.accumulate});
    const std::vector<float> out = dst.download();
    const std::vector<bf16_t> out_bf16 = dst_bf16.download();
    int n_wrong = 0;
    for (int r = 0; r < c.n_rows; r++) {
        for (int i = 0; i < c.n; i++) {
            Expected expected = expected_dot(w, i, [&](int j) {
                return from_bf16(x_values[area(r, c.k) + static_cast<std::size_t>(j)]);
            });
            const std::size_t at = area(r, c.n) + static_cast<std::size_t>(i);
            // Tensor cores may drop bits below the largest product of each step.
            expected.bound *= 4;
            if (c.accumulate) {
                expected.value += static_cast<double>(before[at]);
                expected.bound += 0x1p-24 * std::abs(expected.value);
            }
            if (c.to_bf16) expected.bound += 0x1p-8 * std::abs(expected.value);
            const double got = c.to_bf16 ? from_bf16(out_bf16[at]) : static_cast<double>(out[at]);
            n_wrong += is_within(expected, got) ? 0 : 1;
        }
    }
    CHECK(n_wrong == 0);
}

TEST_CASE("panel_product multiplies ragged panels, into f32 or bf16") {
    for (const CheckDevice& device : check_devices()) {
        check_panel(device, by_kernel, {1, 1, 8, false, false});
        check_panel(device, by_kernel, {33, 130, 72, false, true});
        check_panel(device, by_kernel, {64, 128, 256, true, false});
        check_panel(device, by_kernel, {130, 139, 168, false, false});
        check_panel(device, by_kernel, {17, 139, 24, false, true});
        check_panel(device, by_kernel, {65, 142, 64, false, true});
        check_panel(device, by_kernel, {129, 3, 40, true, false});
    }
}

TEST_CASE("platform: products of many rows are right, by a library or by the kernel") {
    for (const CheckDevice& device : check_devices()) {
        check_panel(device, by_platform, {1, 8, 8, false, false});
        check_panel(device, by_platform, {33, 136, 72, false, true});
        check_panel(device, by_platform, {64, 128, 256, true, false});
        check_panel(device, by_platform, {130, 144, 168, false, false});
        check_panel(device, by_platform, {17, 139, 24, false, true});
        check_panel(device, by_platform, {129, 24, 40, true, false});
    }
}

// Prefill counts on it: a prompt may be cut into chunks of any length.
void check_row_independence(const CheckDevice& device, Multiply multiply, int n, int k) {
    CAPTURE(device.name);
    CAPTURE(n);
    CAPTURE(k);
    constexpr int kRows = 130;
    const WeightCase w(device, WeightFormat::bf16, n, k, Fill::normal, 1);
    const auto* weights = static_cast<const bf16_t*>(w.view().data);
    const DeviceArray<bf16_t> x(device, random_bf16(area(kRows, k), 2));
    const DeviceArray<float> all(device, area(kRows, n));
    multiply(device, {weights, x.data(), n, k, kRows, all.data(), nullptr, false});
    const std::vector<float> expected = all.download();
    for (const std::pair<int, int>& part_of :
         {std::pair<int, int>{0, 1}, {1, 2}, {37, 64}, {60, 70}}) {
        const int first = part_of.first;
        const int n_rows = part_of.second;
        CAPTURE(first);
        const DeviceArray<float> part(device, area(n_rows, n));
        multiply(device,
                 {weights, x.data() + first * k, n, k, n_rows, part.data(), nullptr, false});
        const std::vector<float> out = part.download();
        CHECK(std::equal(out.begin(), out.end(), expected.begin() + first * n));
    }
}

TEST_CASE("a row of panel_product has the same bits whatever is computed with it") {
    for (const CheckDevice& device : check_devices())
        check_row_independence(device, by_kernel, 18, 328);
}

TEST_CASE("platform: a row of a large product has the same bits whatever is computed with it") {
    for (const CheckDevice& device : check_devices()) {
        check_row_independence(device, by_platform, 24, 328);
        check_row_independence(device, by_platform, 136, 64);
    }
}

// Emulated, these take minutes, and are the kernel's.
TEST_CASE("platform: a row of a product of K2's size has the same bits whatever its neighbours") {
    for (const CheckDevice& device : check_devices()) {
        if (device.name.find("emulated") != std::string::npos) continue;
        check_row_independence(device, by_platform, 1536, 7168);
        check_row_independence(device, by_platform, 7168, 2048);
        check_row_independence(device, by_platform, 12288, 1536);
    }
}

}  // namespace
}  // namespace baltoro::gpu_check
