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

// The first n of each layer's n_rows rows of `width` elements.
std::vector<std::int32_t> first_rows(std::span<const std::int32_t> layers,
                                     std::size_t n_rows,
                                     std::size_t n,
                                     std::size_t width) {
    std::vector<std::int32_t> rows;
    for (std::size_t at = 0; at < layers.size(); at += n_rows * width)
        rows.insert(rows.end(), layers.begin() + at, layers.begin() + at + n * width);
    return rows;
}

// Prefill multiplies on tensor cores, decode row by row.
constexpr StepKind kKinds[] = {StepKind::prefill, StepKind::decode};

}  // namespace

TEST_CASE("the emulated GPU is within bounds of DeepSeek's own code on both oracles") {
    for (const char* name : kOracles) {
        for (const StepKind kind : kKinds) {
            const Oracle oracle(name);
            LoadedModel loaded(oracle.directory, kernels::best_isa(), 2, 64, emulated(1, 20));
            const auto vocab = static_cast<std::size_t>(loaded.config.vocab_size);
            const auto top_k = static_cast<std::size_t>(loaded.config.num_experts_per_tok);
            // Emulated, decode is slow: it takes the first tokens only.
            const std::size_t n = kind == StepKind::prefill ? oracle.tokens.size() : 24;
            const std::vector<std::int32_t> tokens(oracle.tokens.begin(),
                                                   oracle.tokens.begin() + n);
            const ForwardOutput output = run_in_chunks(loaded.model, tokens, 64, kind);
            const RowDifferences logits =
                compare_rows(oracle.tensor<float>("logits").first(n * vocab), output.logits, vocab);
            const double equal =
                share_of_equal_experts(first_rows(oracle.tensor<std::int32_t>("routed_experts"),
                                                  oracle.tokens.size(), n, top_k),
                                       output.routed_experts, top_k);
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
    LoadedModel loaded(oracle.directory, kernels::best_isa(), 2, 18, emulated(2, 0));
    const std::vector<std::int32_t> tokens(oracle.tokens.begin(), oracle.tokens.begin() + 18);
    const ForwardOutput whole = run_in_chunks(loaded.model, tokens, 18, StepKind::decode);
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
    const std::vector<std::int32_t> tokens(oracle.tokens.begin(), oracle.tokens.begin() + 4);
    const auto distance = [&](LoadedModel& a, LoadedModel& b, StepKind kind) {
        return compare_rows(run_in_chunks(a.model, tokens, 4, kind).logits,
                            run_in_chunks(b.model, tokens, 4, kind).logits,
                            static_cast<std::size_t>(a.config.vocab_size))
            .median;
    };
    LoadedModel host(oracle.directory, kernels::best_isa(), 2, 4, emulated(1, 0));
    LoadedModel shared(oracle.directory, kernels::best_isa(), 2, 4, emulated(2, 20), 0, 5);
    LoadedModel all(oracle.directory, kernels::best_isa(), 2, 4, emulated(3, 0), 0, 12);
    for (const StepKind kind : kKinds) {
        CAPTURE(static_cast<int>(kind));
        CHECK(distance(host, shared, kind) < 1e-2);
        CHECK(distance(host, all, kind) < 1e-2);
    }
    const std::uint64_t bytes_before = shared.model.expert_bytes_read();
    CHECK(all.model.expert_bytes_read() == 0);  // the host computes nothing
    CHECK(bytes_before > 0);
    for (int i = 0; i < 2; i++) {
        (void)run_in_chunks(shared.model, tokens, 4, StepKind::decode);
        shared.model.move_hot_experts();
    }
    for (const StepKind kind : kKinds)
        CHECK(distance(host, shared, kind) < 1e-2);
}
