#include "model/model.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "tests/model/loaded_model.h"
#include "tests/model/oracle.h"
#include "tests/reference/compare_outputs.h"

using namespace baltoro;
using namespace baltoro::testing;

namespace {

double largest_difference(const std::vector<float>& a, const std::vector<float>& b) {
    REQUIRE(a.size() == b.size());
    double largest = 0.0;
    for (std::size_t i = 0; i < a.size(); i++)
        largest =
            std::max(largest, std::abs(static_cast<double>(a[i]) - static_cast<double>(b[i])));
    return largest;
}

}  // namespace

TEST_CASE("every level is within bounds of DeepSeek's own code on both oracles") {
    for (const char* name : kOracles) {
        for (const kernels::IsaLevel isa : kernels::available_isas()) {
            const Oracle oracle(name);
            LoadedModel loaded(oracle.directory, isa, 2, 64);
            const ForwardOutput output = run_in_chunks(loaded.model, oracle.tokens, 64);
            const auto vocab = static_cast<std::size_t>(loaded.config.vocab_size);
            const RowDifferences logits =
                compare_rows(oracle.tensor<float>("logits"), output.logits, vocab);
            const double equal = share_of_equal_experts(
                oracle.tensor<std::int32_t>("routed_experts"), output.routed_experts,
                static_cast<std::size_t>(loaded.config.num_experts_per_tok));
            CAPTURE(name);
            CAPTURE(kernels::isa_name(isa));
            CHECK(logits.median <= 1e-2);
            CHECK(logits.p90 <= 5e-2);
            CHECK(equal >= 0.96);
        }
    }
}

TEST_CASE("the greedy continuation is followed wherever the margin is clear") {
    for (const char* name : kOracles) {
        const Oracle oracle(name);
        LoadedModel loaded(oracle.directory, kernels::best_isa(), 2, 64);
        const ForwardOutput output = run_in_chunks(loaded.model, oracle.greedy.all_tokens(), 64);
        const GreedyAgreement agreement = compare_greedy(
            oracle.greedy, output.logits, static_cast<std::size_t>(loaded.config.vocab_size));
        CAPTURE(name);
        REQUIRE(agreement.n_clear > 20);
        CHECK(agreement.n_equal >= 0.95 * agreement.n_clear);
    }
}

TEST_CASE("on the scalar level any chunking gives the same logits") {
    for (const char* name : kOracles) {
        const Oracle oracle(name);
        LoadedModel loaded(oracle.directory, kernels::IsaLevel::scalar, 2, 96);
        const std::vector<std::int32_t> tokens(oracle.tokens.begin(), oracle.tokens.begin() + 90);
        const ForwardOutput whole = run_in_chunks(loaded.model, tokens, 96);
        for (const int chunk : {1, 7, 64}) {
            CAPTURE(name);
            CAPTURE(chunk);
            CHECK(largest_difference(whole.logits,
                                     run_in_chunks(loaded.model, tokens, chunk).logits) <= 1e-5);
        }
    }
}

TEST_CASE("a row's bits do not depend on how its sequence is cut into steps of one kind") {
    for (const char* name : kOracles) {
        const Oracle oracle(name);
        for (const kernels::IsaLevel isa : kernels::available_isas()) {
            LoadedModel loaded(oracle.directory, isa, 2, 160);
            for (const StepKind kind : {StepKind::prefill, StepKind::decode}) {
                const ForwardOutput whole = run_in_chunks(loaded.model, oracle.tokens, 160, kind);
                for (const int chunk : {1, 17, 64}) {
                    CAPTURE(name);
                    CAPTURE(kernels::isa_name(isa));
                    CAPTURE(static_cast<int>(kind));
                    CAPTURE(chunk);
                    CHECK(whole.logits ==
                          run_in_chunks(loaded.model, oracle.tokens, chunk, kind).logits);
                }
            }
        }
    }
}

TEST_CASE("on the best level both kinds of steps agree within the oracle's bounds") {
    for (const char* name : kOracles) {
        const Oracle oracle(name);
        LoadedModel loaded(oracle.directory, kernels::best_isa(), 2, 160);
        const auto vocab = static_cast<std::size_t>(loaded.config.vocab_size);
        const RowDifferences difference = compare_rows(
            run_in_chunks(loaded.model, oracle.tokens, 160, StepKind::prefill).logits,
            run_in_chunks(loaded.model, oracle.tokens, 160, StepKind::decode).logits, vocab);
        CAPTURE(name);
        CHECK(difference.median <= 1e-2);
        CHECK(difference.p90 <= 5e-2);
    }
}

TEST_CASE("the number of threads does not change a bit") {
    const Oracle oracle("k2-tiny");
    const std::vector<std::int32_t> tokens(oracle.tokens.begin(), oracle.tokens.begin() + 40);
    LoadedModel one(oracle.directory, kernels::best_isa(), 1, 32);
    LoadedModel three(oracle.directory, kernels::best_isa(), 3, 32);
    CHECK(run_in_chunks(one.model, tokens, 32).logits ==
          run_in_chunks(three.model, tokens, 32).logits);
}

TEST_CASE("a row does not depend on the sequences beside it") {
    const Oracle oracle("k2-tiny");
    LoadedModel loaded(oracle.directory, kernels::best_isa(), 2, 16);
    const std::span<const std::int32_t> tokens(oracle.tokens);
    const std::vector<std::int32_t> pages_a = {0};
    const std::vector<std::int32_t> pages_b = {1};
    const std::int32_t last_rows[] = {4, 11};
    const device::SequenceRows both[] = {{0, 5, 0, pages_a}, {5, 7, 0, pages_b}};
    const std::span<const float> together =
        loaded.model.forward({tokens.first(12), both, last_rows});
    const std::vector<float> logits(together.begin(), together.end());

    const std::int32_t last_row[] = {4};
    const device::SequenceRows alone[] = {{0, 5, 0, pages_b}};
    const std::span<const float> first = loaded.model.forward({tokens.first(5), alone, last_row});
    CHECK(std::equal(first.begin(), first.end(), logits.begin()));
    const std::int32_t row_six[] = {6};
    const device::SequenceRows other[] = {{0, 7, 0, pages_a}};
    const std::span<const float> second =
        loaded.model.forward({tokens.subspan(5, 7), other, row_six});
    CHECK(std::equal(second.begin(), second.end(),
                     logits.begin() + static_cast<std::ptrdiff_t>(first.size())));
}

TEST_CASE("weight bytes per token count every matrix once and the chosen experts") {
    const Oracle oracle("moonlight-tiny");
    LoadedModel loaded(oracle.directory, kernels::IsaLevel::scalar, 1, 1);
    const ModelConfig& c = loaded.config;
    const int heads = c.num_attention_heads;
    const int attention = c.hidden_size * heads * c.qk_head_dim() + c.hidden_size * c.latent_dim() +
                          c.kv_lora_rank * heads * (c.qk_nope_head_dim + c.v_head_dim) +
                          heads * c.v_head_dim * c.hidden_size;
    const int expert = 3 * c.hidden_size * c.moe_intermediate_size;
    const int moe =
        expert * (c.num_experts_per_tok + c.n_shared_experts) + c.n_routed_experts * c.hidden_size;
    const int dense = 3 * c.hidden_size * c.intermediate_size;
    const int weights =
        c.num_hidden_layers * attention + dense + 2 * moe + c.vocab_size * c.hidden_size;
    CHECK(loaded.model.weight_bytes_per_token() ==
          static_cast<std::size_t>(weights) * sizeof(bf16_t));
}
