// Graphs: work that is recorded once and queued as often as wanted.

#include <sched.h>

#include <atomic>
#include <thread>

#include "tests/gpu_check/check_device.h"

namespace baltoro::gpu_check {
namespace {

using device::MemoryKind;

constexpr std::uint32_t kTurns = 3;
constexpr std::uint32_t kReplays = 4;

TEST_CASE("platform: a graph does nothing until it is replayed, and reads memory as it is then") {
    for (const CheckDevice& device : check_devices()) {
        CAPTURE(device.name);
        device::GpuPlatform& platform = *device.platform;
        const DeviceArray<float> addend(device, std::vector<float>{1, 10});
        const DeviceArray<float> sum(device, std::vector<float>{0, 0});
        const DeviceArray<float> copy(device, std::vector<float>{0, 0});
        platform.begin_capture();
        device.kernels().add(device.stream(), {addend.data(), sum.data(), 2});
        platform.copy_within(copy.data(), sum.data(), 2 * sizeof(float));
        device.kernels().add(device.stream(), {addend.data(), sum.data(), 2});
        const std::unique_ptr<device::GpuGraph> graph = platform.end_capture();
        CHECK(sum.download() == std::vector<float>{0, 0});

        graph->replay();
        CHECK(sum.download() == std::vector<float>{2, 20});
        CHECK(copy.download() == std::vector<float>{1, 10});
        const std::vector<float> other = {100, 1000};
        platform.copy_to_device(addend.data(), other.data(), 2 * sizeof(float));
        graph->replay();
        graph->replay();
        CHECK(sum.download() == std::vector<float>{402, 4020});
        CHECK(copy.download() == std::vector<float>{302, 3020});
        // Others may be queued between replays.
        device.kernels().add(device.stream(), {addend.data(), sum.data(), 2});
        graph->replay();
        CHECK(sum.download() == std::vector<float>{702, 7020});
    }
}

TEST_CASE("platform: a recording that is given up leaves nothing behind") {
    for (const CheckDevice& device : check_devices()) {
        CAPTURE(device.name);
        const DeviceArray<float> addend(device, std::vector<float>{1});
        const DeviceArray<float> sum(device, std::vector<float>{0});
        device.platform->begin_capture();
        device.kernels().add(device.stream(), {addend.data(), sum.data(), 1});
        device.platform->end_capture().reset();
        device.kernels().add(device.stream(), {addend.data(), sum.data(), 1});
        CHECK(sum.download() == std::vector<float>{1});
    }
}

// In memory that host and device share; each on a cache line of its own.
struct Mailbox {
    alignas(64) std::uint32_t reached;
    alignas(64) std::uint32_t done;
    alignas(64) float from_host;
    alignas(64) float sum;  // of what the host has given, made by the device
};

// The host's side of all replays: it gives 1, 2, 3, … and notes the sum it sees at every signal.
std::vector<float> take_turns(Mailbox& box) {
    std::vector<float> sums;
    for (std::uint32_t turn = 1; turn <= kTurns * kReplays; turn++) {
        while (std::atomic_ref<std::uint32_t>(box.reached).load(std::memory_order_acquire) < turn)
            sched_yield();
        sums.push_back(box.sum);
        box.from_host = static_cast<float>(turn);
        std::atomic_ref<std::uint32_t>(box.done).store(turn, std::memory_order_release);
    }
    return sums;
}

TEST_CASE("platform: a graph may wait for the host, in every replay anew") {
    for (const CheckDevice& device : check_devices()) {
        CAPTURE(device.name);
        device::GpuPlatform& platform = *device.platform;
        auto* box = static_cast<Mailbox*>(platform.allocate(sizeof(Mailbox), MemoryKind::shared));
        const DeviceArray<std::uint32_t> counters(device, std::vector<std::uint32_t>{0, 0});
        const gpu::HandoffFlags flags{&box->reached, &box->done, counters.data(),
                                      counters.data() + 1};
        platform.wait();
        platform.begin_capture();
        for (std::uint32_t turn = 0; turn < kTurns; turn++) {
            device.kernels().signal_host(device.stream(), {flags});
            device.kernels().await_host(device.stream(), {flags});
            device.kernels().add(device.stream(), {&box->from_host, &box->sum, 1});
        }
        const std::unique_ptr<device::GpuGraph> graph = platform.end_capture();
        std::vector<float> sums;
        std::thread host([&] { sums = take_turns(*box); });
        for (std::uint32_t i = 0; i < kReplays; i++)
            graph->replay();
        host.join();
        platform.wait();
        CHECK(sums == std::vector<float>{0, 1, 3, 6, 10, 15, 21, 28, 36, 45, 55, 66});
        CHECK(box->sum == 78.0f);
        platform.release(box, sizeof(Mailbox), MemoryKind::shared);
    }
}

}  // namespace
}  // namespace baltoro::gpu_check
