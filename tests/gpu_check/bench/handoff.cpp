// The expert handoff with empty work: how long a layer's way to the host and back takes.

#include <atomic>
#include <chrono>

#include <fmt/format.h>

#include "base/error.h"
#include "tests/gpu_check/bench/bench_run.h"
#include "tests/gpu_check/bench/stream_flags.h"

namespace baltoro::gpu_check {
namespace {

constexpr double kBarUs = 20;
constexpr double kGoalUs = 8;
constexpr int kMoeLayers = 60;

// Flags that both sides see, each on a cache line of its own.
class SharedFlags {
  public:
    explicit SharedFlags(device::GpuPlatform& platform)
        : platform_(platform),
          words_(
              static_cast<std::uint32_t*>(platform.allocate(kBytes, device::MemoryKind::shared))) {}
    ~SharedFlags() { platform_.release(words_, kBytes, device::MemoryKind::shared); }
    SharedFlags(const SharedFlags&) = delete;
    SharedFlags& operator=(const SharedFlags&) = delete;

    std::uint32_t* reached() const { return words_; }
    std::uint32_t* done() const { return words_ + 32; }

    // Answers the GPU's handoffs first + 1 .. first + n, each as soon as it shows. Throws Error if
    // the GPU fails or nothing comes for two seconds; it is then let go on.
    void answer(std::uint32_t first, std::uint32_t n) {
        for (std::uint32_t number = first + 1; number != first + n + 1; number++) {
            await(number, first + n);
            std::atomic_ref<std::uint32_t>(*done()).store(number, std::memory_order_release);
        }
    }

  private:
    static constexpr std::size_t kBytes = 256;

    void await(std::uint32_t number, std::uint32_t last) {
        using Clock = std::chrono::steady_clock;
        const std::atomic_ref<std::uint32_t> flag(*reached());
        const Clock::time_point begin = Clock::now();
        for (std::uint32_t turn = 1;
             static_cast<std::int32_t>(flag.load(std::memory_order_acquire) - number) < 0; turn++) {
            __builtin_ia32_pause();
            if (turn % 65536 != 0) continue;
            platform_.check_failure();
            if (Clock::now() - begin < std::chrono::seconds(2)) continue;
            std::atomic_ref<std::uint32_t>(*done()).store(last, std::memory_order_release);
            throw Error(fmt::format("the GPU does not reach handoff {}", number));
        }
    }

    device::GpuPlatform& platform_;
    std::uint32_t* words_;
};

// signal_host and await_host, as a decode step has them.
void bench_kernels(BenchRun& run) {
    SharedFlags flags(run.platform());
    const BenchMemory counters = run.zeros(2 * sizeof(std::uint32_t));
    auto* counts = counters.as<std::uint32_t>();
    const gpu::HandoffFlags handoff{flags.reached(), flags.done(), counts, counts + 1};
    std::uint32_t answered = 0;
    const Spread time = run.time_calls(
        kMoeLayers,
        [&](int /*i*/) {
            run.kernels().signal_host(run.stream(), {handoff});
            run.kernels().await_host(run.stream(), {handoff});
        },
        [&] {
            flags.answer(answered, kMoeLayers);
            answered += kMoeLayers;
        });
    run.report().add({"handoff and back, empty work: kernels", time, "", {}, kBarUs, kGoalUs});
}

// The same by operations of the stream itself; their values are fixed in the graph, so both flags
// start from nothing in every round.
void bench_stream_operations(BenchRun& run) {
    std::string why_not;
    const std::optional<StreamFlags> operations = find_stream_flags(why_not);
    if (!operations) return run.report().skip("handoff by stream operations: " + why_not);
    SharedFlags flags(run.platform());
    try {
        const Spread time = run.time_calls(
            kMoeLayers,
            [&](int i) {
                const auto number = static_cast<std::uint32_t>(i) + 1;
                operations->write(run.cuda_stream(), flags.reached(), number);
                operations->await(run.cuda_stream(), flags.done(), number);
                if (i + 1 < kMoeLayers) return;
                // The host has answered all: the next round begins anew.
                operations->write(run.cuda_stream(), flags.reached(), 0);
                operations->write(run.cuda_stream(), flags.done(), 0);
            },
            [&] { flags.answer(0, kMoeLayers); });
        run.report().add(
            {"handoff and back, empty work: stream operations", time, "", {}, kBarUs, kGoalUs});
    } catch (const Error& error) {
        run.report().skip(std::string("handoff by stream operations: ") + error.what());
    }
}

}  // namespace

void bench_handoff(BenchRun& run) {
    if (run.kernels().signal_host == nullptr || run.kernels().await_host == nullptr)
        run.report().skip("handoff: the kernels are not there yet");
    else
        bench_kernels(run);
    bench_stream_operations(run);
}

}  // namespace baltoro::gpu_check
