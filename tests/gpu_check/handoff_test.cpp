#include <sched.h>

#include <atomic>
#include <thread>

#include "tests/gpu_check/check_device.h"

namespace baltoro::gpu_check {
namespace {

constexpr std::uint32_t kTurns = 5;

// In memory that host and device share; each on a cache line of its own.
struct Mailbox {
    alignas(64) std::uint32_t reached;
    alignas(64) std::uint32_t done;
    alignas(64) float from_host;
    alignas(64) float sum;  // of what the host has given, made by the device
};

void wait_until(std::uint32_t& flag, std::uint32_t at_least) {
    const std::atomic_ref<std::uint32_t> shared(flag);
    while (static_cast<std::int32_t>(shared.load(std::memory_order_acquire) - at_least) < 0)
        sched_yield();
}

// The host's side: at every signal it notes the device's sum and gives the next power of ten.
std::vector<float> take_turns(Mailbox& box, std::uint32_t start) {
    std::vector<float> sums;
    float next = 10;
    for (std::uint32_t turn = 1; turn <= kTurns; turn++) {
        wait_until(box.reached, start + turn);
        // A device that does not wait gets time to be caught.
        for (int i = 0; i < 20; i++)
            sched_yield();
        sums.push_back(box.sum);
        box.from_host = next;
        next *= 10;
        std::atomic_ref<std::uint32_t>(box.done).store(start + turn, std::memory_order_release);
    }
    return sums;
}

void check_turns(const CheckDevice& device, std::uint32_t start) {
    CAPTURE(device.name);
    CAPTURE(start);
    device::GpuPlatform& platform = *device.platform;
    auto* box =
        static_cast<Mailbox*>(platform.allocate(sizeof(Mailbox), device::MemoryKind::shared));
    *box = {start, start, 1.0f, 0.0f};
    const DeviceArray<std::uint32_t> n_signals(device, std::vector<std::uint32_t>{start});
    const DeviceArray<std::uint32_t> n_waits(device, std::vector<std::uint32_t>{start});
    const gpu::HandoffFlags flags{&box->reached, &box->done, n_signals.data(), n_waits.data()};
    platform.wait();

    std::vector<float> sums;
    std::thread host([&] { sums = take_turns(*box, start); });
    device.kernels().add(device.stream(), {&box->from_host, &box->sum, 1});
    for (std::uint32_t turn = 1; turn <= kTurns; turn++) {
        device.kernels().signal_host(device.stream(), {flags});
        device.kernels().await_host(device.stream(), {flags});
        device.kernels().add(device.stream(), {&box->from_host, &box->sum, 1});
    }
    host.join();
    platform.wait();

    CHECK(sums == std::vector<float>{1, 11, 111, 1111, 11111});
    CHECK(box->sum == 111111.0f);
    CHECK(box->reached == start + kTurns);
    CHECK(n_signals.download().front() == start + kTurns);
    CHECK(n_waits.download().front() == start + kTurns);
    platform.release(box, sizeof(Mailbox), device::MemoryKind::shared);
}

TEST_CASE("signal_host follows the work before it, and await_host holds back the work behind it") {
    for (const CheckDevice& device : check_devices())
        check_turns(device, 0);
}

TEST_CASE("the counters of the handoff may wrap") {
    for (const CheckDevice& device : check_devices())
        check_turns(device, 0xfffffffdu);
}

TEST_CASE("await_host passes at once where the host is ahead, and signals need no wait between") {
    for (const CheckDevice& device : check_devices()) {
        CAPTURE(device.name);
        device::GpuPlatform& platform = *device.platform;
        auto* box =
            static_cast<Mailbox*>(platform.allocate(sizeof(Mailbox), device::MemoryKind::shared));
        *box = {0, 2, 0.0f, 0.0f};
        const DeviceArray<std::uint32_t> counters(device, std::vector<std::uint32_t>{0, 0});
        const gpu::HandoffFlags flags{&box->reached, &box->done, counters.data(),
                                      counters.data() + 1};
        device.kernels().signal_host(device.stream(), {flags});
        device.kernels().signal_host(device.stream(), {flags});
        device.kernels().await_host(device.stream(), {flags});
        device.kernels().await_host(device.stream(), {flags});
        CHECK(counters.download() == std::vector<std::uint32_t>{2, 2});
        CHECK(box->reached == 2);
        platform.release(box, sizeof(Mailbox), device::MemoryKind::shared);
    }
}

}  // namespace
}  // namespace baltoro::gpu_check
