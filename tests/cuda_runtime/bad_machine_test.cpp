// What a user's machine may lack: each ends in one line that says so, and leaves nothing behind.

#include <string>

#include <doctest/doctest.h>

#include "base/error.h"
#include "device/cuda_platform.h"
#include "tests/cuda_runtime/process.h"

namespace baltoro::device {
namespace {

using cuda_stand_in::current_process;
using cuda_stand_in::Machine;

constexpr std::size_t kGigabyte = 1'000'000'000;

// Of the error that making a platform ends with; empty if it can be made.
std::string refusal(const CudaOptions& options = {}) {
    try {
        (void)make_cuda_platform(options);
    } catch (const Error& error) {
        return error.what();
    }
    return "";
}

Machine& machine() {
    return current_process().machine();
}

TEST_CASE("a machine without a driver, with an old one, or without a card says so") {
    machine().driver_version = 0;
    CHECK(refusal() == "no NVIDIA driver was found (libcuda.so.1)");
    CHECK(find_cuda_gpus().names.empty());
    CHECK(find_cuda_gpus().why_none == refusal());
    machine().driver_version = 11040;
    CHECK(refusal().find("the NVIDIA driver is too old: it knows CUDA 11.4, this program needs ") ==
          0);
    machine().driver_version = 99000;
    machine().cards.clear();
    CHECK(refusal() == "no CUDA device was found");
}

TEST_CASE("a number beyond the cards is answered with their range") {
    CHECK(refusal({1}) == "there is no GPU 1: the only one is 0");
    machine().cards.resize(2);
    CHECK(refusal({-1}) == "there is no GPU -1: they are 0 to 1");
    CHECK(refusal({2}) == "there is no GPU 2: they are 0 to 1");
    CHECK(refusal({1}).empty());
}

TEST_CASE("cards are described by name, memory and architecture") {
    machine().cards.resize(2);
    machine().cards[1] = {"NVIDIA H200", 90, 141 * kGigabyte};
    const CudaGpus gpus = find_cuda_gpus();
    REQUIRE(gpus.names.size() == 2);
    CHECK(gpus.names[1] == "NVIDIA H200, 141 GB, sm_90");
    CHECK(make_cuda_platform({1})->describe() == gpus.names[1]);
}

TEST_CASE("a card that nothing was compiled for is refused, the one beside it is not") {
    machine().cards.resize(2);
    machine().cards[0] = {"Tesla K80", 37, 12 * kGigabyte};
    CHECK(refusal({0}).find("GPU 0 (Tesla K80) has compute capability 3.7, but the kernels were "
                            "compiled for ") == 0);
    CHECK(refusal({1}).empty());
}

TEST_CASE("a card that another process holds alone is refused") {
    machine().cards[0].is_held_alone = true;
    CHECK(refusal() ==
          "GPU 0 (stand-in) is held by another process alone (its compute mode, see nvidia-smi)");
    machine().cards[0].is_held_alone = false;
    CHECK(refusal().empty());
}

TEST_CASE("a card that other processes have filled cannot even be started with") {
    machine().cards[0].total_bytes = 24 * kGigabyte;
    machine().cards[0].taken_bytes = 23'900'000'000;
    CHECK(refusal() ==
          "GPU 0 (stand-in): no memory is left to start with; other processes hold its 24.00 GB "
          "(see nvidia-smi)");
}

TEST_CASE("a card without unified addressing is refused") {
    machine().cards[0].has_unified_addressing = false;
    CHECK(refusal() == "GPU 0 (stand-in) cannot map host memory at one address");
}

TEST_CASE(
    "pinned memory that is refused at the start is named with the card, and nothing is left") {
    current_process().faults().host_allocation = 1;
    CHECK(refusal() ==
          "GPU 0 (stand-in): pinned host memory for uploads (64 MiB): out of memory "
          "(cudaErrorMemoryAllocation)");
    CHECK(current_process().complaints().empty());
    CHECK(refusal().empty());
}

TEST_CASE("events that are refused at the start leave nothing behind") {
    for (const int n : {1, 500, 1024}) {
        CAPTURE(n);
        current_process().faults().event = n;
        CHECK(refusal() ==
              "GPU 0 (stand-in): events for uploads: out of memory (cudaErrorMemoryAllocation)");
        CHECK(current_process().complaints().empty());
    }
}

TEST_CASE("a shortage tells whose the memory is, and the platform goes on") {
    machine().cards[0].total_bytes = 24 * kGigabyte;
    machine().cards[0].taken_bytes = 20 * kGigabyte;
    const auto platform = make_cuda_platform();
    void* data = platform->allocate(100'000'000, MemoryKind::device);
    CHECK_THROWS_WITH_AS(
        platform->allocate(4 * kGigabyte, MemoryKind::device),
        "GPU 0 (stand-in): cannot have 4.00 GB of memory: 3.59 GB of 24.00 are free, 0.10 are this "
        "program's, 20.31 belong to other processes and the driver (see nvidia-smi)",
        Error);
    CHECK(platform->free_bytes() == 4 * kGigabyte - (std::size_t{300} << 20) - 100'000'000);
    platform->release(data, 100'000'000, MemoryKind::device);
    data = platform->allocate(1000, MemoryKind::device);
    platform->wait();
    platform->release(data, 1000, MemoryKind::device);
    CHECK(current_process().used_bytes(0) == 0);
}

TEST_CASE("a limit set by the user is kept, and named when it is reached") {
    const auto platform = make_cuda_platform({0, kGigabyte});
    void* data = platform->allocate(600'000'000, MemoryKind::device);
    CHECK(platform->free_bytes() == 400'000'000);
    CHECK_THROWS_WITH_AS(platform->allocate(500'000'000, MemoryKind::device),
                         "GPU 0 (stand-in): cannot have 0.50 GB of memory: of the 1.00 GB allowed, "
                         "0.60 are taken; raise the limit",
                         Error);
    platform->release(data, 600'000'000, MemoryKind::device);
    CHECK(platform->free_bytes() == kGigabyte);
}

TEST_CASE("pinned memory that is refused later is named with its size") {
    const auto platform = make_cuda_platform();
    current_process().faults().host_allocation = 1;
    CHECK_THROWS_WITH_AS(platform->allocate(5'000'000, MemoryKind::shared),
                         "GPU 0 (stand-in): 0.005 GB of pinned host memory: out of memory "
                         "(cudaErrorMemoryAllocation)",
                         Error);
    void* data = platform->allocate(5'000'000, MemoryKind::shared);
    platform->release(data, 5'000'000, MemoryKind::shared);
}

}  // namespace
}  // namespace baltoro::device
