#include <cmath>
#include <memory>

#include "tests/gpu_check/check_device.h"
#include "tests/gpu_check/random_values.h"
#include "tests/gpu_check/weight_case.h"

namespace baltoro::gpu_check {
namespace {

using gpu::WeightFormat;

constexpr int kRows = 3;
constexpr int kTopK = 2;
constexpr int kSlots = 2;
// Rows' choices among four experts, of which 3 and 1 live on the GPU, in slots 0 and 1.
const std::vector<std::int32_t> kIds = {1, 0, 2, 0, 3, 1};
const std::vector<std::int32_t> kSlotOf = {-1, 1, -1, 0};

struct Expert {
    Expert(
        const CheckDevice& device, WeightFormat format, int hidden, int inner, std::uint64_t stream)
        : gate(device, format, inner, hidden, Fill::normal, stream),
          up(device, format, inner, hidden, Fill::normal, stream + 1),
          down(device, format, hidden, inner, Fill::normal, stream + 2) {}

    WeightCase gate;
    WeightCase up;
    WeightCase down;
};

// The slots' memory, filled from the cases' bytes.
std::vector<std::byte> fill_slots(const std::vector<std::unique_ptr<Expert>>& experts,
                                  const gpu::ExpertSlotLayout& layout) {
    std::vector<std::byte> bytes(static_cast<std::size_t>(layout.size) * experts.size());
    for (std::size_t s = 0; s < experts.size(); s++) {
        std::byte* slot = bytes.data() + s * static_cast<std::size_t>(layout.size);
        const auto put = [&](std::int64_t at, std::int64_t scale_at, const WeightCase& w) {
            std::memcpy(slot + at, w.byte_values.data(), w.byte_values.size());
            if (w.format == WeightFormat::fp8_block)
                std::memcpy(slot + scale_at, w.scale_values.data(), w.scale_values.size() * 4);
        };
        put(layout.gate, layout.gate_scale, experts[s]->gate);
        put(layout.up, layout.up_scale, experts[s]->up);
        put(layout.down, layout.down_scale, experts[s]->down);
    }
    return bytes;
}

void check_experts(const CheckDevice& device, WeightFormat format, int hidden, int inner) {
    CAPTURE(device.name);
    CAPTURE(hidden);
    CAPTURE(inner);
    std::vector<std::unique_ptr<Expert>> experts;
    for (std::uint64_t s = 0; s < kSlots; s++)
        experts.push_back(std::make_unique<Expert>(device, format, hidden, inner, 10 * s));
    const gpu::ExpertSlotLayout layout = gpu::expert_slot_layout(hidden, inner, format);
    const auto n_hidden = static_cast<std::size_t>(hidden);
    const auto n_inner = static_cast<std::size_t>(inner);
    const std::vector<bf16_t> x_values = random_bf16(kRows * n_hidden, 5, 0.1f);
    const std::vector<float> gain_values = random_floats(kIds.size(), 6);
    const std::vector<float> before = random_floats(kRows * n_hidden, 7);
    const bf16_t untouched = bf16_from_float(-5.0f);
    const DeviceArray<std::byte> slots(device, fill_slots(experts, layout));
    const DeviceArray<std::int32_t> slot_of(device, kSlotOf);
    const DeviceArray<std::int32_t> ids(device, kIds);
    const DeviceArray<float> gains(device, gain_values);
    const DeviceArray<bf16_t> x(device, x_values);
    const DeviceArray<bf16_t> inner_rows(device,
                                         std::vector<bf16_t>(kIds.size() * n_inner, untouched));
    const DeviceArray<float> dst(device, before);
    const gpu::ResidentExperts resident{
        reinterpret_cast<const char*>(slots.data()), layout, slot_of.data(), hidden, inner, format};
    device.kernels().resident_gate_up(
        device.stream(), {resident, x.data(), ids.data(), kRows, kTopK, inner_rows.data()});
    device.kernels().resident_down(device.stream(), {resident, inner_rows.data(), ids.data(),
                                                     gains.data(), kRows, kTopK, dst.data()});

    const std::vector<bf16_t> gated = inner_rows.download();
    const std::vector<float> out = dst.download();
    int n_wrong = 0;
    for (std::size_t choice = 0; choice < kIds.size(); choice++) {
        const std::int32_t slot = kSlotOf[static_cast<std::size_t>(kIds[choice])];
        for (int i = 0; i < inner; i++) {
            const bf16_t got = gated[choice * n_inner + static_cast<std::size_t>(i)];
            if (slot < 0) {
                n_wrong += got != untouched ? 1 : 0;
                continue;
            }
            const Expert& expert = *experts[static_cast<std::size_t>(slot)];
            const auto x_at = [&](int j) {
                return from_bf16(x_values[choice / kTopK * n_hidden + static_cast<std::size_t>(j)]);
            };
            const Expected g = expected_dot(expert.gate, i, x_at);
            const Expected u = expected_dot(expert.up, i, x_at);
            const double silu = g.value / (1 + std::exp(-g.value));
            const double value = silu * u.value;
            const double bound = 1.1 * g.bound * (std::abs(u.value) + u.bound) +
                                 std::abs(silu) * u.bound +
                                 std::abs(value) * (0x1p-8 + 16 * 0x1p-24) + 0x1p-126;
            n_wrong += is_within({value, bound}, from_bf16(got)) ? 0 : 1;
        }
    }
    for (std::size_t r = 0; r < kRows; r++) {
        for (int i = 0; i < hidden; i++) {
            const std::size_t at = r * n_hidden + static_cast<std::size_t>(i);
            Expected sum{static_cast<double>(before[at]), 0.0};
            for (std::size_t c = 0; c < kTopK; c++) {
                const std::size_t choice = r * kTopK + c;
                const std::int32_t slot = kSlotOf[static_cast<std::size_t>(kIds[choice])];
                if (slot < 0) continue;
                const Expected dot =
                    expected_dot(experts[static_cast<std::size_t>(slot)]->down, i, [&](int j) {
                        return from_bf16(gated[choice * n_inner + static_cast<std::size_t>(j)]);
                    });
                const double gain = static_cast<double>(gain_values[choice]);
                sum.value += gain * dot.value;
                sum.bound += std::abs(gain) * dot.bound + 4 * 0x1p-24 * std::abs(gain * dot.value);
            }
            sum.bound += 4 * 0x1p-24 * std::abs(sum.value) +
                         4 * 0x1p-24 * std::abs(static_cast<double>(before[at]));
            n_wrong += is_within(sum, static_cast<double>(out[at])) ? 0 : 1;
        }
    }
    CHECK(n_wrong == 0);
}

TEST_CASE("experts on the GPU are computed for the rows that chose them, and no others") {
    for (const CheckDevice& device : check_devices()) {
        check_experts(device, WeightFormat::fp8_block, 144, 272);
        check_experts(device, WeightFormat::fp8_block, 2064, 16);
        check_experts(device, WeightFormat::bf16, 48, 32);
    }
}

}  // namespace
}  // namespace baltoro::gpu_check
