// The stand-in itself: it is as strict as CUDA's documentation, or the other tests would show
// nothing.

#include <unistd.h>

#include <atomic>
#include <cstring>
#include <stdexcept>
#include <string>
#include <thread>

#include <cuda_runtime.h>
#include <doctest/doctest.h>

#include "gpu_kernels/kernels.h"
#include "tests/cuda_runtime/process.h"

namespace baltoro::cuda_stand_in {
namespace {

constexpr std::size_t kBytes = 64;

// A stream that can be held up, with memory of each kind.
struct Bench {
    Bench() {
        REQUIRE(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking) == cudaSuccess);
        void* memory = nullptr;
        REQUIRE(cudaMalloc(&memory, kBytes) == cudaSuccess);
        device = static_cast<std::uint32_t*>(memory);
        REQUIRE(cudaMemsetAsync(device, 0, kBytes, stream) == cudaSuccess);
        REQUIRE(cudaHostAlloc(&memory, kBytes, cudaHostAllocMapped) == cudaSuccess);
        pinned = static_cast<std::uint32_t*>(memory);
        std::memset(pinned, 0, kBytes);
        REQUIRE(cudaStreamSynchronize(stream) == cudaSuccess);
    }
    ~Bench() {
        cudaStreamSynchronize(stream);
        cudaFree(device);
        cudaFreeHost(pinned);
        cudaStreamDestroy(stream);
    }

    simt::Stream* handle() const { return reinterpret_cast<simt::Stream*>(stream); }
    // Until let_go(); the last words of both memories are its own.
    void hold() const {
        gpu::cuda_table().await_host(handle(),
                                     {{pinned + 14, pinned + 15, device + 14, device + 15}});
    }
    void let_go() const {
        std::atomic_ref<std::uint32_t>(pinned[15]).store(1, std::memory_order_release);
    }
    std::uint32_t first_word() const {
        std::uint32_t word = 0;
        CHECK(cudaMemcpyAsync(&word, device, sizeof word, cudaMemcpyDefault, stream) ==
              cudaSuccess);
        return word;
    }
    cudaError_t copy(void* dst, const void* src) const {
        return cudaMemcpyAsync(dst, src, sizeof(std::uint32_t), cudaMemcpyDefault, stream);
    }

    cudaStream_t stream = nullptr;
    std::uint32_t* device = nullptr;
    std::uint32_t* pinned = nullptr;
};

TEST_CASE("a copy reads pinned memory when the stream comes to it, and pageable memory at once") {
    const Bench bench;
    for (const bool is_pinned : {true, false}) {
        CAPTURE(is_pinned);
        std::uint32_t pageable = 1;
        bench.pinned[0] = 1;
        bench.pinned[15] = 0;
        CHECK(cudaMemsetAsync(bench.device, 0, kBytes, bench.stream) == cudaSuccess);
        bench.hold();
        CHECK(bench.copy(bench.device, is_pinned ? bench.pinned : &pageable) == cudaSuccess);
        CHECK(cudaStreamQuery(bench.stream) == cudaErrorNotReady);
        CHECK(cudaGetLastError() == cudaErrorNotReady);  // a launch would take it for its own
        bench.pinned[0] = 2;
        pageable = 2;
        bench.let_go();
        CHECK(bench.first_word() == (is_pinned ? 2 : 1));
    }
}

// A system call says so where the host's own access would end the test.
TEST_CASE("memory of an idle card is out of the host's reach") {
    const Bench bench;
    CHECK(cudaStreamSynchronize(bench.stream) == cudaSuccess);
    int ends[2] = {};
    REQUIRE(pipe(ends) == 0);
    CHECK(write(ends[1], bench.pinned, 4) == 4);
    CHECK(write(ends[1], bench.device, 4) == -1);
    close(ends[0]);
    close(ends[1]);
}

TEST_CASE("memory is released once, as what it is, and not in part") {
    const Bench bench;
    void* memory = nullptr;
    REQUIRE(cudaMalloc(&memory, kBytes) == cudaSuccess);
    CHECK(cudaFreeHost(memory) == cudaErrorInvalidValue);
    CHECK(cudaFree(static_cast<char*>(memory) + 4) == cudaErrorInvalidValue);
    CHECK(cudaStreamSynchronize(bench.stream) == cudaSuccess);
    CHECK(cudaFree(memory) == cudaSuccess);
    CHECK(cudaFree(memory) == cudaErrorInvalidValue);
    CHECK(bench.copy(memory, bench.pinned) == cudaErrorInvalidValue);
    CHECK(cudaMemcpyAsync(bench.device, bench.pinned, kBytes + 1, cudaMemcpyDefault,
                          bench.stream) == cudaErrorInvalidValue);
}

TEST_CASE("what is not given back is counted, and so is what CUDA leaves undefined") {
    void* memory = nullptr;
    {
        const Bench bench;
        REQUIRE(cudaMalloc(&memory, kBytes) == cudaSuccess);
        CHECK(cudaStreamBeginCapture(bench.stream, cudaStreamCaptureModeThreadLocal) ==
              cudaSuccess);
        bench.hold();
        cudaGraph_t graph = nullptr;
        CHECK(cudaStreamEndCapture(bench.stream, &graph) == cudaSuccess);
        cudaGraphExec_t executable = nullptr;
        CHECK(cudaGraphInstantiate(&executable, graph, 0) == cudaSuccess);
        CHECK(cudaGraphDestroy(graph) == cudaSuccess);
        CHECK(cudaGraphLaunch(executable, bench.stream) == cudaSuccess);
        CHECK(cudaGraphExecDestroy(executable) == cudaSuccess);
        bench.let_go();
        CHECK(current_process().take_misuses() == "a graph is destroyed while it runs; ");
    }
    CHECK(current_process().complaints() == "1 allocations of device memory left; ");
    CHECK(cudaFree(memory) == cudaSuccess);
}

TEST_CASE("the last error is told once") {
    CHECK(cudaFree(&current_process()) == cudaErrorInvalidValue);
    CHECK(cudaPeekAtLastError() == cudaErrorInvalidValue);
    CHECK(cudaGetLastError() == cudaErrorInvalidValue);
    CHECK(cudaGetLastError() == cudaSuccess);
}

// What `call` returns within a recording, which it spoils.
template <typename Call>
cudaError_t while_recording(const Bench& bench, const Call& call) {
    CHECK(cudaStreamBeginCapture(bench.stream, cudaStreamCaptureModeThreadLocal) == cudaSuccess);
    const cudaError_t status = call();
    CHECK(bench.copy(bench.device, bench.pinned) == cudaErrorStreamCaptureInvalidated);
    cudaGraph_t graph = nullptr;
    CHECK(cudaStreamEndCapture(bench.stream, &graph) == cudaErrorStreamCaptureInvalidated);
    CHECK(graph == nullptr);
    return status;
}

TEST_CASE("calls that a recording forbids are refused and spoil it") {
    const Bench bench;
    void* memory = nullptr;
    cudaEvent_t event = nullptr;
    REQUIRE(cudaEventCreateWithFlags(&event, cudaEventDisableTiming) == cudaSuccess);
    constexpr cudaError_t kRefused = cudaErrorStreamCaptureUnsupported;
    CHECK(while_recording(bench, [&] { return cudaMalloc(&memory, 4); }) == kRefused);
    CHECK(while_recording(bench, [&] { return cudaHostAlloc(&memory, 4, 0); }) == kRefused);
    CHECK(while_recording(bench, [&] { return cudaFree(bench.device); }) == kRefused);
    CHECK(while_recording(bench, [&] { return cudaEventQuery(event); }) == kRefused);
    CHECK(while_recording(bench, [&] { return cudaStreamQuery(bench.stream); }) == kRefused);
    CHECK(while_recording(bench, [&] { return cudaStreamSynchronize(bench.stream); }) == kRefused);
    CHECK(while_recording(bench, [&] { return bench.copy(bench.device, &event); }) == kRefused);
    CHECK(cudaEventDestroy(event) == cudaSuccess);
}

TEST_CASE("a recording for one thread leaves the others alone, and ends in its own") {
    const Bench bench;
    CHECK(cudaStreamBeginCapture(bench.stream, cudaStreamCaptureModeThreadLocal) == cudaSuccess);
    std::thread([&] {
        void* memory = nullptr;
        CHECK(cudaMalloc(&memory, kBytes) == cudaSuccess);
        CHECK(cudaFree(memory) == cudaSuccess);
        cudaGraph_t graph = nullptr;
        CHECK(cudaStreamEndCapture(bench.stream, &graph) == cudaErrorStreamCaptureWrongThread);
    }).join();
    cudaGraph_t graph = nullptr;
    CHECK(cudaStreamEndCapture(bench.stream, &graph) == cudaSuccess);
    CHECK(cudaGraphDestroy(graph) == cudaSuccess);
    CHECK(cudaStreamEndCapture(bench.stream, &graph) == cudaErrorIllegalState);
}

// After a kernel has failed: it stays, whatever is called.
void check_failed(const Bench& bench, cudaError_t failure) {
    CHECK(cudaStreamSynchronize(bench.stream) == failure);
    CHECK(cudaGetLastError() == failure);
    CHECK(cudaGetLastError() == failure);
    void* memory = nullptr;
    CHECK(cudaMalloc(&memory, 4) == failure);
    CHECK_THROWS_AS(bench.hold(), std::runtime_error);
}

TEST_CASE("a kernel's failure stays") {
    const Bench bench;
    current_process().faults().kernel = 1;
    bench.hold();
    check_failed(bench, cudaErrorLaunchFailure);
}

TEST_CASE("a kernel that is given the host's memory fails") {
    const Bench bench;
    float x = 0;
    gpu::cuda_table().add(bench.handle(), {&x, &x, 1});
    check_failed(bench, cudaErrorIllegalAddress);
}

TEST_CASE("a kernel of one card that is given another's memory fails") {
    current_process().machine().cards.resize(2);
    const Bench bench;
    void* memory = nullptr;
    CHECK(cudaSetDevice(1) == cudaSuccess);
    CHECK(cudaMalloc(&memory, kBytes) == cudaSuccess);
    CHECK_THROWS_AS(bench.hold(), std::runtime_error);  // the stream is not of the current card
    CHECK(cudaSetDevice(0) == cudaSuccess);
    auto* x = static_cast<float*>(memory);
    gpu::cuda_table().add(bench.handle(), {x, x, 1});
    check_failed(bench, cudaErrorIllegalAddress);
    CHECK(cudaFree(memory) == cudaErrorIllegalAddress);
}

}  // namespace
}  // namespace baltoro::cuda_stand_in
