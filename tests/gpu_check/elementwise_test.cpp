#include <cmath>
#include <utility>

#include "tests/gpu_check/check_device.h"
#include "tests/gpu_check/random_values.h"

namespace baltoro::gpu_check {
namespace {

TEST_CASE("embed copies the rows of the ids, from bf16 or f32 tables") {
    for (const CheckDevice& device : check_devices()) {
        CAPTURE(device.name);
        constexpr std::size_t n = 300;
        const std::vector<bf16_t> bf16_values = random_bf16(7 * n, 1);
        const std::vector<float> f32_values = random_floats(7 * n, 2);
        const std::vector<std::int32_t> id_values = {6, 0, 3, 3};
        const DeviceArray<bf16_t> bf16_table(device, bf16_values);
        const DeviceArray<float> f32_table(device, f32_values);
        const DeviceArray<std::int32_t> ids(device, id_values);
        const DeviceArray<float> from_bf16_rows(device, 4 * n);
        const DeviceArray<float> from_f32_rows(device, 4 * n);
        device.kernels().embed(device.stream(),
                               {{bf16_table.data(), nullptr, 7, n, gpu::WeightFormat::bf16},
                                ids.data(),
                                4,
                                from_bf16_rows.data()});
        device.kernels().embed(device.stream(),
                               {{f32_table.data(), nullptr, 7, n, gpu::WeightFormat::f32},
                                ids.data(),
                                4,
                                from_f32_rows.data()});
        const std::vector<float> a = from_bf16_rows.download();
        const std::vector<float> b = from_f32_rows.download();
        int n_wrong = 0;
        for (std::size_t i = 0; i < 4 * n; i++) {
            const std::size_t src = static_cast<std::size_t>(id_values[i / n]) * n + i % n;
            n_wrong += a[i] != float_from_bf16(bf16_values[src]) || b[i] != f32_values[src] ? 1 : 0;
        }
        CHECK(n_wrong == 0);
    }
}

TEST_CASE("add adds every element, also where four do not divide them") {
    for (const CheckDevice& device : check_devices()) {
        for (const std::size_t n : {1u, 4u, 1023u, 2050u}) {
            CAPTURE(device.name);
            CAPTURE(n);
            const std::vector<float> src_values = random_floats(n, 1);
            const std::vector<float> dst_values = random_floats(n, 2);
            const DeviceArray<float> src(device, src_values);
            const DeviceArray<float> dst(device, dst_values);
            device.kernels().add(device.stream(),
                                 {src.data(), dst.data(), static_cast<std::int64_t>(n)});
            const std::vector<float> out = dst.download();
            int n_wrong = 0;
            for (std::size_t i = 0; i < n; i++)
                n_wrong += out[i] != dst_values[i] + src_values[i] ? 1 : 0;
            CHECK(n_wrong == 0);
        }
    }
}

TEST_CASE("silu_mul is within two roundings of the formula, for large arguments too") {
    for (const CheckDevice& device : check_devices()) {
        CAPTURE(device.name);
        constexpr std::size_t n = 1027;
        std::vector<float> gate_values = random_floats(n, 1, 4.0f);
        gate_values[0] = 200.0f;
        gate_values[1] = -200.0f;  // silu underflows to zero, not to NaN
        gate_values[2] = 0.0f;
        const std::vector<float> up_values = random_floats(n, 2);
        const DeviceArray<float> gate(device, gate_values);
        const DeviceArray<float> up(device, up_values);
        const DeviceArray<bf16_t> dst(device, n);
        device.kernels().silu_mul(device.stream(), {gate.data(), up.data(), n, dst.data()});
        const std::vector<bf16_t> out = dst.download();
        int n_wrong = 0;
        for (std::size_t i = 0; i < n; i++) {
            const double g = static_cast<double>(gate_values[i]);
            const double expected = g / (1.0 + std::exp(-g)) * static_cast<double>(up_values[i]);
            // Half a bf16 step, and a few f32 roundings of expf and the quotient.
            const double bound = std::abs(expected) * (0x1p-8 + 16 * 0x1p-24) + 0x1p-126;
            n_wrong += std::abs(from_bf16(out[i]) - expected) <= bound ? 0 : 1;
        }
        CHECK(n_wrong == 0);
    }
}

TEST_CASE("write_latent normalises the latent, rotates the key and follows the slots") {
    for (const CheckDevice& device : check_devices()) {
        for (const std::pair<int, int>& dims : {std::pair<int, int>{512, 64}, {64, 16}}) {
            const int rank = dims.first;
            const int rope_dim = dims.second;
            CAPTURE(device.name);
            CAPTURE(rank);
            const auto dim = static_cast<std::size_t>(rank + rope_dim);
            const auto n = static_cast<std::size_t>(rank);
            const auto half = static_cast<std::size_t>(rope_dim / 2);
            const std::vector<std::int32_t> slot_values = {70, 3, 127};
            const std::vector<float> kv_values = random_floats(3 * dim, 1);
            const std::vector<bf16_t> gain_values = random_bf16(n, 2);
            std::vector<float> rope_values;
            for (std::size_t i = 0; i < 3 * half; i++) {
                const double angle = static_cast<double>(i) * 0.7;
                rope_values.push_back(static_cast<float>(std::cos(angle)));
                rope_values.push_back(static_cast<float>(std::sin(angle)));
            }
            const bf16_t untouched = bf16_from_float(-77.0f);
            const DeviceArray<float> kv(device, kv_values);
            const DeviceArray<bf16_t> gain(device, gain_values);
            const DeviceArray<float> rope(device, rope_values);
            const DeviceArray<std::int32_t> slots(device, slot_values);
            const DeviceArray<bf16_t> pages(device, std::vector<bf16_t>(128 * dim, untouched));
            device.kernels().write_latent(device.stream(), {{4, rank, 16, rope_dim, 16},
                                                            kv.data(),
                                                            gain.data(),
                                                            1e-6f,
                                                            rope.data(),
                                                            slots.data(),
                                                            3,
                                                            pages.data()});
            const std::vector<bf16_t> out = pages.download();
            int n_wrong = 0;
            int n_untouched = 0;
            for (const bf16_t value : out)
                n_untouched += value == untouched ? 1 : 0;
            for (std::size_t r = 0; r < 3; r++) {
                const float* src = kv_values.data() + r * dim;
                const bf16_t* dst = out.data() + static_cast<std::size_t>(slot_values[r]) * dim;
                double squares = 0;
                for (std::size_t i = 0; i < n; i++)
                    squares += static_cast<double>(src[i]) * static_cast<double>(src[i]);
                const double inverse = 1 / std::sqrt(squares / rank + 1e-6);
                const auto differs = [&](std::size_t i, double expected, double magnitude) {
                    const double bound = std::abs(expected) * 0x1p-8 + magnitude * 32 * 0x1p-24;
                    return std::abs(from_bf16(dst[i]) - expected) <= bound ? 0 : 1;
                };
                for (std::size_t i = 0; i < n; i++) {
                    const double expected =
                        from_bf16(gain_values[i]) * static_cast<double>(src[i]) * inverse;
                    n_wrong += differs(i, expected, std::abs(expected));
                }
                for (std::size_t i = 0; i < half; i++) {
                    const double c = static_cast<double>(rope_values[(r * half + i) * 2]);
                    const double s = static_cast<double>(rope_values[(r * half + i) * 2 + 1]);
                    const double a = static_cast<double>(src[n + 2 * i]);
                    const double b = static_cast<double>(src[n + 2 * i + 1]);
                    const double magnitude = std::abs(a) + std::abs(b);
                    n_wrong += differs(n + 2 * i, a * c - b * s, magnitude);
                    n_wrong += differs(n + 2 * i + 1, b * c + a * s, magnitude);
                }
            }
            CHECK(n_wrong == 0);
            CHECK(n_untouched == static_cast<int>((128 - 3) * dim));
        }
    }
}

}  // namespace
}  // namespace baltoro::gpu_check
