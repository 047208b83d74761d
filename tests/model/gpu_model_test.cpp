// The whole model with its dense part on an emulated GPU, whose work is delayed at random.

#include <algorithm>
#include <memory>
#include <numeric>
#include <vector>

#include <doctest/doctest.h>

#include "device/emulated_platform.h"
#include "device/gpu_device.h"
#include "model/model.h"
#include "tests/model/loaded_model.h"
#include "tests/model/oracle.h"
#include "tests/reference/compare_outputs.h"

using namespace baltoro;
using namespace baltoro::testing;

namespace {

DeviceMaker emulated(std::uint64_t seed, int max_delay_us) {
    return [=] {
        device::EmulationOptions options;
        options.max_delay_us = max_delay_us;
        options.seed = seed;
        options.lanes = device::EmulationOptions::Lanes::shuffled;
        return std::make_unique<device::GpuDevice>(device::make_emulated_platform(options));
    };
}

// Prefill multiplies on tensor cores, decode row by row.
constexpr StepKind kKinds[] = {StepKind::prefill, StepKind::decode};

}  // namespace

TEST_CASE("the emulated GPU is within bounds of DeepSeek's own code on both oracles") {
    for (const char* name : kOracles) {
        for (const StepKind kind : kKinds) {
            const Oracle oracle(name);
            LoadedModel loaded(oracle.directory, kernels::best_isa(), 2, 64, emulated(1, 20));
            const ForwardOutput output = run_in_chunks(loaded.model, oracle.tokens, 64, kind);
            const auto vocab = static_cast<std::size_t>(loaded.config.vocab_size);
            const RowDifferences logits =
                compare_rows(oracle.tensor<float>("logits"), output.logits, vocab);
            const double equal = share_of_equal_experts(
                oracle.tensor<std::int32_t>("routed_experts"), output.routed_experts,
                static_cast<std::size_t>(loaded.config.num_experts_per_tok));
            CAPTURE(name);
            CAPTURE(static_cast<int>(kind));
            CHECK(logits.median <= 1e-2);
            CHECK(logits.p90 <= 5e-2);
            CHECK(equal >= 0.96);
        }
    }
}

TEST_CASE("on a GPU rows of decode steps have the same bits whatever is computed with them") {
    const Oracle oracle("k2-tiny");
    LoadedModel loaded(oracle.directory, kernels::best_isa(), 2, 40, emulated(2, 0));
    const std::vector<std::int32_t> tokens(oracle.tokens.begin(), oracle.tokens.begin() + 40);
    const ForwardOutput whole = run_in_chunks(loaded.model, tokens, 40, StepKind::decode);
    for (const int chunk : {1, 7}) {
        CAPTURE(chunk);
        CHECK(whole.logits == run_in_chunks(loaded.model, tokens, chunk, StepKind::decode).logits);
    }
}

TEST_CASE("two parts that take turns give what one gives, whatever is delayed") {
    const Oracle oracle("k2-tiny");
    const std::vector<std::int32_t> tokens(oracle.tokens.begin(), oracle.tokens.begin() + 128);
    const std::vector<std::int32_t> rows = {0, 63, 64, 127};
    const auto logits = [&](int rows_for_two_parts, std::uint64_t seed) {
        LoadedModel loaded(oracle.directory, kernels::best_isa(), 2, 128, emulated(seed, 100),
                           rows_for_two_parts);
        std::vector<std::int32_t> pages(static_cast<std::size_t>(loaded.model.limits().n_pages));
        std::iota(pages.rbegin(), pages.rend(), 0);
        const device::SequenceRows whole{0, 128, 0, pages};
        const std::span<const float> out =
            loaded.model.forward({tokens, {&whole, 1}, rows, StepKind::prefill});
        return std::vector<float>(out.begin(), out.end());
    };
    const std::vector<float> one = logits(1000, 1);
    const std::vector<float> two = logits(128, 2);
    CHECK(one == two);
    CHECK(two == logits(128, 3));
}

TEST_CASE("experts that live on the GPU give what they give on the CPU, also after they moved") {
    const Oracle oracle("k2-tiny");
    const std::vector<std::int32_t> tokens(oracle.tokens.begin(), oracle.tokens.begin() + 48);
    const auto distance = [&](LoadedModel& a, LoadedModel& b, StepKind kind) {
        return compare_rows(run_in_chunks(a.model, tokens, 48, kind).logits,
                            run_in_chunks(b.model, tokens, 48, kind).logits,
                            static_cast<std::size_t>(a.config.vocab_size))
            .median;
    };
    LoadedModel host(oracle.directory, kernels::best_isa(), 2, 48, emulated(1, 0));
    LoadedModel shared(oracle.directory, kernels::best_isa(), 2, 48, emulated(2, 20), 0, 5);
    LoadedModel all(oracle.directory, kernels::best_isa(), 2, 48, emulated(3, 0), 0, 12);
    for (const StepKind kind : kKinds) {
        CAPTURE(static_cast<int>(kind));
        CHECK(distance(host, shared, kind) < 1e-2);
        CHECK(distance(host, all, kind) < 1e-2);
    }
    const std::uint64_t bytes_before = shared.model.expert_bytes_read();
    CHECK(all.model.expert_bytes_read() == 0);  // the host computes nothing
    CHECK(bytes_before > 0);
    for (int i = 0; i < 4; i++) {
        (void)run_in_chunks(shared.model, tokens, 48, StepKind::decode);
        shared.model.move_hot_experts();
    }
    for (const StepKind kind : kKinds)
        CHECK(distance(host, shared, kind) < 1e-2);
}
