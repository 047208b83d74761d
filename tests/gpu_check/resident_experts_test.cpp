#include <algorithm>
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

struct Inputs {
    std::vector<bf16_t> x;
    std::vector<float> gains;
    std::vector<float> before;  // what dst holds
};

const bf16_t kUntouched = bf16_from_float(-5.0f);

const Expert* expert_of(const std::vector<std::unique_ptr<Expert>>& experts, std::size_t choice) {
    const std::int32_t slot = kSlotOf[static_cast<std::size_t>(kIds[choice])];
    return slot < 0 ? nullptr : experts[static_cast<std::size_t>(slot)].get();
}

int wrong_gated(const std::vector<std::unique_ptr<Expert>>& experts,
                const Inputs& in,
                const std::vector<bf16_t>& gated) {
    const std::size_t n_inner = gated.size() / kIds.size();
    const std::size_t n_hidden = in.before.size() / kRows;
    int n_wrong = 0;
    for (std::size_t at = 0; at < gated.size(); at++) {
        const std::size_t choice = at / n_inner;
        const Expert* expert = expert_of(experts, choice);
        if (expert == nullptr) {
            n_wrong += gated[at] != kUntouched ? 1 : 0;
            continue;
        }
        const int i = static_cast<int>(at % n_inner);
        const auto x_at = [&](int j) {
            return from_bf16(in.x[choice / kTopK * n_hidden + static_cast<std::size_t>(j)]);
        };
        const Expected expected =
            expected_gated(expected_dot(expert->gate, i, x_at), expected_dot(expert->up, i, x_at));
        n_wrong += is_within(expected, from_bf16(gated[at])) ? 0 : 1;
    }
    return n_wrong;
}

int wrong_sums(const std::vector<std::unique_ptr<Expert>>& experts,
               const Inputs& in,
               const std::vector<bf16_t>& gated,
               const std::vector<float>& out) {
    const std::size_t n_inner = gated.size() / kIds.size();
    const std::size_t n_hidden = in.before.size() / kRows;
    int n_wrong = 0;
    for (std::size_t at = 0; at < out.size(); at++) {
        const double before = static_cast<double>(in.before[at]);
        Expected sum{before, 0.0};
        for (std::size_t c = 0; c < kTopK; c++) {
            const std::size_t choice = at / n_hidden * kTopK + c;
            const Expert* expert = expert_of(experts, choice);
            if (expert == nullptr) continue;
            const Expected dot =
                expected_dot(expert->down, static_cast<int>(at % n_hidden), [&](int j) {
                    return from_bf16(gated[choice * n_inner + static_cast<std::size_t>(j)]);
                });
            const double gain = static_cast<double>(in.gains[choice]);
            sum.value += gain * dot.value;
            sum.bound += std::abs(gain) * dot.bound + 4 * 0x1p-24 * std::abs(gain * dot.value);
        }
        sum.bound += 4 * 0x1p-24 * (std::abs(sum.value) + std::abs(before));
        n_wrong += is_within(sum, static_cast<double>(out[at])) ? 0 : 1;
    }
    return n_wrong;
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
    const Inputs in{random_bf16(kRows * n_hidden, 5, 0.1f), random_floats(kIds.size(), 6),
                    random_floats(kRows * n_hidden, 7)};
    const DeviceArray<std::byte> slots(device, fill_slots(experts, layout));
    const DeviceArray<std::int32_t> slot_of(device, kSlotOf);
    const DeviceArray<std::int32_t> ids(device, kIds);
    const DeviceArray<float> gains(device, in.gains);
    const DeviceArray<bf16_t> x(device, in.x);
    const DeviceArray<bf16_t> inner_rows(device,
                                         std::vector<bf16_t>(kIds.size() * n_inner, kUntouched));
    const DeviceArray<float> dst(device, in.before);
    const gpu::ResidentExperts resident{
        reinterpret_cast<const char*>(slots.data()), layout, slot_of.data(), hidden, inner, format};
    device.kernels().resident_gate_up(
        device.stream(), {resident, x.data(), ids.data(), kRows, kTopK, inner_rows.data()});
    device.kernels().resident_down(device.stream(), {resident, inner_rows.data(), ids.data(),
                                                     gains.data(), kRows, kTopK, dst.data()});
    const std::vector<bf16_t> gated = inner_rows.download();
    CHECK(wrong_gated(experts, in, gated) == 0);
    CHECK(wrong_sums(experts, in, gated, dst.download()) == 0);
}

TEST_CASE("experts on the GPU are computed for the rows that chose them, and no others") {
    for (const CheckDevice& device : check_devices()) {
        check_experts(device, WeightFormat::fp8_block, 144, 272);
        check_experts(device, WeightFormat::fp8_block, 2064, 16);
        check_experts(device, WeightFormat::fp8_block, 16, 2064);  // all warps share a sum
        check_experts(device, WeightFormat::bf16, 48, 32);
    }
}

// More choices and rows than a grid has blocks in its second dimension; all choose one expert, so
// all are alike.
struct Crowd {
    static constexpr int kMany = 65537;

    Crowd(const CheckDevice& device, int hidden, int inner)
        : layout(gpu::expert_slot_layout(hidden, inner, WeightFormat::bf16)),
          slots(device, slot_of_one(device, hidden, inner, layout)),
          slot_of(device, std::vector<std::int32_t>{0}),
          ids(device, std::vector<std::int32_t>(kMany, 0)),
          resident{reinterpret_cast<const char*>(slots.data()),
                   layout,
                   slot_of.data(),
                   hidden,
                   inner,
                   WeightFormat::bf16} {}

    static std::vector<std::byte> slot_of_one(const CheckDevice& device,
                                              int hidden,
                                              int inner,
                                              const gpu::ExpertSlotLayout& layout) {
        std::vector<std::unique_ptr<Expert>> experts;
        experts.push_back(std::make_unique<Expert>(device, WeightFormat::bf16, hidden, inner, 1));
        return fill_slots(experts, layout);
    }

    // The same random row for each.
    static std::vector<bf16_t> rows(int width) {
        const std::vector<bf16_t> row = random_bf16(static_cast<std::size_t>(width), 5, 0.5f);
        std::vector<bf16_t> all;
        for (int r = 0; r < kMany; r++)
            all.insert(all.end(), row.begin(), row.end());
        return all;
    }

    gpu::ExpertSlotLayout layout;
    DeviceArray<std::byte> slots;
    DeviceArray<std::int32_t> slot_of;
    DeviceArray<std::int32_t> ids;
    gpu::ResidentExperts resident;
};

// Whether all rows are the first one's, which has no zero.
template <typename T>
bool are_alike(const std::vector<T>& rows, std::ptrdiff_t width) {
    bool is_alike = std::count(rows.begin(), rows.begin() + width, T{0}) == 0;
    for (auto row = rows.begin(); row != rows.end(); row += width)
        is_alike = is_alike && std::equal(rows.begin(), rows.begin() + width, row);
    return is_alike;
}

TEST_CASE("experts on the GPU take more choices than a grid has in its second dimension") {
    constexpr int kHidden = 16;
    constexpr int kInner = 2;
    const CheckDevice& device = check_devices().front();
    const Crowd crowd(device, kHidden, kInner);
    const DeviceArray<bf16_t> x(device, Crowd::rows(kHidden));
    const DeviceArray<bf16_t> dst(device, std::size_t{Crowd::kMany} * kInner);
    device.kernels().resident_gate_up(
        device.stream(), {crowd.resident, x.data(), crowd.ids.data(), Crowd::kMany, 1, dst.data()});
    CHECK(are_alike(dst.download(), kInner));
}

TEST_CASE("experts on the GPU take more rows than a grid has in its second dimension") {
    constexpr int kHidden = 4;
    constexpr int kInner = 16;
    const CheckDevice& device = check_devices().front();
    const Crowd crowd(device, kHidden, kInner);
    const DeviceArray<bf16_t> hidden(device, Crowd::rows(kInner));
    const DeviceArray<float> gains(device, std::vector<float>(Crowd::kMany, 1.0f));
    const DeviceArray<float> dst(device,
                                 std::vector<float>(std::size_t{Crowd::kMany} * kHidden, 0.0f));
    device.kernels().resident_down(device.stream(),
                                   {crowd.resident, hidden.data(), crowd.ids.data(), gains.data(),
                                    Crowd::kMany, 1, dst.data()});
    CHECK(are_alike(dst.download(), kHidden));
}

}  // namespace
}  // namespace baltoro::gpu_check
