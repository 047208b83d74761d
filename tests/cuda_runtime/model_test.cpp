// A whole model through CUDA's platform: the bits that it gives on an emulated GPU, and what its
// failures leave behind.

#include <memory>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "base/error.h"
#include "device/cuda_platform.h"
#include "device/emulated_platform.h"
#include "tests/cuda_runtime/process.h"
#include "tests/model/decoder.h"

namespace baltoro::testing {
namespace {

using cuda_stand_in::current_process;

constexpr int kMostGraphs = 16;

void delay_work(int max_delay_us, std::uint64_t seed) {
    simt::EmulatedStreamOptions& streams = current_process().machine().streams;
    streams.max_delay_us = max_delay_us;
    streams.emulator = {simt::LaneOrder::shuffled, seed};
}

// Steps of one and of two sequences, each kind launched, recorded and repeated; the first takes
// scratch memory, with which graphs would go.
std::vector<std::vector<float>> decode_some(Decoder& decoder) {
    decoder.prefill(0, 3);
    decoder.prefill(1, 5);
    std::vector<std::vector<float>> logits;
    for (int i = 0; i < 4; i++)
        logits.push_back(decoder.decode({1, 0}));
    for (int i = 0; i < 3; i++)
        logits.push_back(decoder.decode({0}));
    return logits;
}

TEST_CASE("steps through CUDA's runtime, launched and repeated, give the bits of an emulated GPU") {
    const Oracle oracle("k2-tiny");
    Decoder emulated(oracle, 0, device::make_emulated_platform());
    delay_work(30, 7);
    Decoder decoder(oracle, kMostGraphs, device::make_cuda_platform());
    CHECK(decode_some(decoder) == decode_some(emulated));
    CHECK(decoder.gpu().graph_counts().recorded == 2);
    CHECK(decoder.gpu().graph_counts().repeated == 2);
}

DeviceMaker on_cuda(int gpu_idx = 0) {
    return
        [=] { return std::make_unique<device::GpuDevice>(device::make_cuda_platform({gpu_idx})); };
}

DeviceMaker on_emulated() {
    return [] { return std::make_unique<device::GpuDevice>(device::make_emulated_platform()); };
}

TEST_CASE("two parts that take turns give the bits of an emulated GPU, with experts on the card") {
    const Oracle oracle("k2-tiny");
    const std::vector<std::int32_t> tokens(oracle.tokens.begin(), oracle.tokens.begin() + 16);
    const auto logits = [&](const DeviceMaker& maker) {
        constexpr int kDeviceExperts = 5;
        LoadedModel loaded(oracle.directory, kernels::best_isa(), 2, 16, maker, 16, kDeviceExperts);
        return run_in_chunks(loaded.model, tokens, 16).logits;
    };
    delay_work(50, 3);
    current_process().machine().cards.resize(2);
    CHECK(logits(on_cuda(1)) == logits(on_emulated()));
    CHECK(current_process().used_bytes(0) == 0);
}

TEST_CASE("a model that the card has no room for is an error, and everything is given back") {
    const Oracle oracle("k2-tiny");
    for (const int n : {1, 2, 3, 5, 20, 60}) {
        CAPTURE(n);
        current_process().faults().device_allocation = n;
        CHECK_THROWS_AS(LoadedModel(oracle.directory, kernels::best_isa(), 2, 64, on_cuda()),
                        Error);
        CHECK(current_process().complaints().empty());
    }
    for (const int n : {1, 2, 3}) {
        CAPTURE(n);
        current_process().faults().host_allocation = n;
        CHECK_THROWS_AS(LoadedModel(oracle.directory, kernels::best_isa(), 2, 64, on_cuda()),
                        Error);
        CHECK(current_process().complaints().empty());
    }
}

TEST_CASE("a step whose graph cannot be made or queued fails, and the same step succeeds then") {
    const Oracle oracle("k2-tiny");
    Decoder emulated(oracle, 0, device::make_emulated_platform());
    Decoder decoder(oracle, kMostGraphs, device::make_cuda_platform());
    for (Decoder* either : {&emulated, &decoder})
        either->prefill(0, 3);
    const auto check_step = [&] { CHECK(decoder.decode({0}) == emulated.decode({0})); };
    check_step();
    check_step();
    current_process().faults().instantiation = 1;
    CHECK_THROWS_AS(decoder.decode({0}), Error);
    current_process().faults().graph_launch = 1;
    CHECK_THROWS_AS(decoder.decode({0}), Error);
    check_step();
    check_step();
    current_process().faults().graph_launch = 1;
    CHECK_THROWS_AS(decoder.decode({0}), Error);
    check_step();
    CHECK(decoder.gpu().graph_counts().repeated > 0);
}

TEST_CASE("a step of which a launch is refused fails, and the same step succeeds then") {
    const Oracle oracle("k2-tiny");
    Decoder emulated(oracle, 0, device::make_emulated_platform());
    Decoder decoder(oracle, kMostGraphs, device::make_cuda_platform());
    for (Decoder* either : {&emulated, &decoder})
        either->prefill(0, 3);
    const auto check_refusal = [&](int n) {
        CAPTURE(n);
        current_process().faults().launch = n;
        CHECK_THROWS_AS(decoder.decode({0}), Error);
    };
    const auto check_step = [&] { CHECK(decoder.decode({0}) == emulated.decode({0})); };
    // In the first layers, where memory is taken, and behind host works, which are not done then.
    for (const int n : {5, 5, 30, 45, 5})
        check_refusal(n);
    check_step();
    CHECK(decoder.model().expert_bytes_read() == emulated.model().expert_bytes_read());
    for (const int n : {1, 5, 30})  // but for the first launch, within the recording
        check_refusal(n);
    check_step();
    CHECK(decoder.gpu().graph_counts().recorded == 1);
    check_refusal(1);  // the others are in the graph
    check_step();
    CHECK(decoder.gpu().graph_counts().repeated == 1);
}

// Runs that many steps, whose first takes memory, then one whose n-th kernel fails. A failed kernel
// ends all work of the process, so each is a case of its own.
void check_failing_kernel(int most_graphs, int n_steps, int n_kernels) {
    const Oracle oracle("k2-tiny");
    Decoder decoder(oracle, most_graphs, device::make_cuda_platform());
    decoder.prefill(0, 3);
    for (int i = 0; i < n_steps; i++)
        (void)decoder.decode({0});
    current_process().faults().kernel = n_kernels;
    for (int i = 0; i < 2; i++)
        CHECK_THROWS_AS(decoder.decode({0}), Error);
}

TEST_CASE("a launched step fails with its first kernel") {
    check_failing_kernel(0, 1, 1);
}

TEST_CASE("a launched step fails with a kernel behind the first handoff") {
    check_failing_kernel(0, 1, 30);
}

TEST_CASE("a step that is being recorded fails with the kernel before the recording") {
    check_failing_kernel(kMostGraphs, 2, 1);
}

TEST_CASE("a repeated step fails with its first kernel") {
    check_failing_kernel(kMostGraphs, 3, 1);
}

TEST_CASE("a repeated step fails with a kernel behind the first handoff") {
    check_failing_kernel(kMostGraphs, 3, 30);
}

}  // namespace
}  // namespace baltoro::testing
