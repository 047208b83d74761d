// Failures in the middle of work: each is an Error that names the card, whoever meets it first, and
// what is destroyed afterwards gives everything back.

#include <memory>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "base/error.h"
#include "device/cuda_platform.h"
#include "device/gpu_device.h"
#include "tests/cuda_runtime/process.h"

namespace baltoro::device {
namespace {

using cuda_stand_in::current_process;
using cuda_stand_in::Faults;

constexpr const char* kFailed =
    "GPU 0 (stand-in): its work has failed: unspecified launch failure (cudaErrorLaunchFailure); "
    "start the program again";

Faults& faults() {
    return current_process().faults();
}

template <typename Call>
std::string failure_of(const Call& call) {
    try {
        call();
    } catch (const Error& error) {
        return error.what();
    }
    return "";
}

// A platform with two numbers in memory of the card.
struct Bench {
    Bench()
        : platform(make_cuda_platform()),
          numbers(static_cast<float*>(platform->allocate(2 * sizeof(float), MemoryKind::device))) {}
    ~Bench() { platform->release(numbers, 2 * sizeof(float), MemoryKind::device); }

    void add() { platform->kernels().add(platform->stream(), {numbers, numbers + 1, 1}); }
    // The next kernel fails, and has failed when this returns.
    void fail() {
        faults().kernel = 1;
        add();
        CHECK(failure_of([&] { platform->wait(); }) == kFailed);
    }

    std::unique_ptr<GpuPlatform> platform;
    float* numbers;
};

TEST_CASE("after a kernel's failure every call says that the program must start again") {
    Bench bench;
    GpuPlatform& platform = *bench.platform;
    bench.fail();
    float value = 0;
    CHECK(failure_of([&] { platform.wait(); }) == kFailed);
    CHECK(failure_of([&] { platform.check_failure(); }) == kFailed);
    CHECK(failure_of([&] { platform.copy_to_host(&value, bench.numbers, 4); }) == kFailed);
    CHECK(failure_of([&] { platform.copy_to_device(bench.numbers, &value, 4); }) == kFailed);
    CHECK(failure_of([&] { platform.copy_within(bench.numbers, bench.numbers + 1, 4); }) ==
          kFailed);
    CHECK(failure_of([&] { platform.allocate(4, MemoryKind::device); }) == kFailed);
    CHECK(failure_of([&] { platform.allocate(4, MemoryKind::shared); }) == kFailed);
    CHECK(failure_of([&] { (void)platform.free_bytes(); }) == kFailed);
    CHECK(failure_of([&] { platform.begin_capture(); }) == kFailed);
}

TEST_CASE("a kernel's failure is met by whoever looks first, without waiting") {
    Bench bench;
    faults().kernel = 2;
    bench.add();
    bench.add();
    std::string what;
    while (what.empty())
        what = failure_of([&] { bench.platform->check_failure(); });
    CHECK(what == kFailed);
}

TEST_CASE("memory that cannot be cleared after a kernel's failure is given back") {
    Bench bench;
    faults().clearing = 1;
    CHECK(failure_of([&] { bench.platform->allocate(100, MemoryKind::device); }) == kFailed);
    CHECK(current_process().used_bytes(0) == 2 * sizeof(float));
}

TEST_CASE("a kernel that is not to blame for a failure is not blamed") {
    Bench bench;
    bench.fail();
    CHECK(failure_of([&] { bench.add(); }) ==
          "GPU: its work has failed: unspecified launch failure (cudaErrorLaunchFailure); start "
          "the program again");
}

TEST_CASE("a recording under way when a kernel fails is given up") {
    Bench bench;
    bench.platform->begin_capture();
    bench.add();
    faults().kernel = 1;
    const auto graph = bench.platform->end_capture();
    graph->replay();
    CHECK(failure_of([&] { bench.platform->wait(); }) == kFailed);
    CHECK(failure_of([&] { graph->replay(); }) == kFailed);
}

TEST_CASE("a device whose first memory is refused leaves nothing behind") {
    for (const int n : {1, 2}) {
        CAPTURE(n);
        faults().device_allocation = n == 1 ? 1 : 0;
        faults().host_allocation = n == 2 ? 2 : 0;  // behind the ring of uploads
        CHECK_THROWS_AS((void)std::make_unique<GpuDevice>(make_cuda_platform()), Error);
        CHECK(current_process().complaints().empty());
    }
}

TEST_CASE("a step given up between the beginning and the end of host work, its GPU failed") {
    GpuDevice device(make_cuda_platform());
    Buffer numbers = device.allocate(2 * sizeof(float), MemoryKind::device);
    auto* x = numbers.as<float>();
    device.begin_step(StepKind::decode);
    (void)device.begin_host_work({[](void*) { FAIL("given up"); }, nullptr});
    faults().kernel = 1;
    std::string what;
    while (what.empty())
        what = failure_of([&] { device.add(x, x, 1); });
    numbers = {};
    CHECK(what.find("GPU: its work has failed: ") == 0);
    CHECK(failure_of([&] { device.finish(); }) == kFailed);
    device.give_up_step();
    device.begin_step(StepKind::decode);
    CHECK_FALSE(failure_of([&] { (void)device.begin_host_work({nullptr, nullptr}); }).empty());
    CHECK(failure_of([&] { device.finish(); }) == kFailed);
}

TEST_CASE("a graph that cannot be made is an error, and the next one can be") {
    Bench bench;
    faults().instantiation = 1;
    bench.platform->begin_capture();
    bench.add();
    CHECK(failure_of([&] { (void)bench.platform->end_capture(); }) ==
          "GPU 0 (stand-in): a step cannot be recorded (--gpu-graphs 0 does without): out of "
          "memory (cudaErrorMemoryAllocation)");
    bench.platform->begin_capture();
    bench.add();
    bench.platform->end_capture()->replay();
    bench.platform->wait();
}

}  // namespace
}  // namespace baltoro::device
