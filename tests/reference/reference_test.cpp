#include "tests/reference/reference.h"

#include <fstream>
#include <string>
#include <vector>

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "model/config.h"
#include "tests/reference/compare_outputs.h"
#include "weights/checkpoint.h"
#include "weights/safetensors.h"

using namespace baltoro;

namespace {

// A small checkpoint with what DeepSeek's published inference code gives for it in float32.
struct Oracle {
    explicit Oracle(const std::string& name)
        : directory(std::string(BALTORO_GOLDEN_DIR) + "/oracle/" + name),
          config(read_model_config(directory)),
          checkpoint(directory),
          expected(directory + "/expected.safetensors"),
          json(nlohmann::json::parse(std::ifstream(directory + "/expected.json"))) {}

    template <typename T>
    std::vector<T> tensor(const std::string& name) const {
        for (const TensorEntry& entry : expected.entries()) {
            if (entry.name != name) continue;
            const TensorView view = expected.view(entry);
            REQUIRE(dtype_bytes(view.dtype) == sizeof(T));
            return {view.as<T>(), view.as<T>() + view.size_bytes / sizeof(T)};
        }
        FAIL("the oracle has no tensor ", name);
        return {};
    }

    std::vector<std::int32_t> tokens() const {
        return json["tokens"].get<std::vector<std::int32_t>>();
    }

    std::string directory;
    ModelConfig config;
    Checkpoint checkpoint;
    SafetensorsFile expected;
    nlohmann::json json;
};

// The oracle computes in float32; its own rounding is what 1e-4 allows for.
void check_against(const Oracle& oracle) {
    const ReferenceOutput found = run_reference(oracle.config, oracle.checkpoint, oracle.tokens());
    const RowDifferences logits =
        compare_rows(oracle.tensor<float>("logits"), found.logits, oracle.config.vocab_size);
    const RowDifferences hidden =
        compare_rows(oracle.tensor<float>("hidden"), found.hidden, oracle.config.hidden_size);
    MESSAGE("relative L2 of logits: median ", logits.median, ", max ", logits.max,
            "; of hidden: max ", hidden.max);
    CHECK(logits.per_row.size() == oracle.tokens().size());
    CHECK(logits.max <= 1e-4);
    CHECK(hidden.max <= 1e-4);
    CHECK(found.routed_experts == oracle.tensor<std::int32_t>("routed_experts"));
}

void check_greedy(const Oracle& oracle) {
    const nlohmann::json& greedy = oracle.json["greedy"];
    const GreedyContinuation expected{greedy["prompt"], greedy["continuation"], greedy["margin"]};
    const ReferenceOutput found =
        run_reference(oracle.config, oracle.checkpoint, expected.all_tokens());
    // Margins are far above the difference of the two, so even narrow ones must agree.
    const GreedyAgreement agreement =
        compare_greedy(expected, found.logits, oracle.config.vocab_size, 0.01);
    CHECK(agreement.n_clear >= 30);
    CHECK(agreement.n_equal == agreement.n_clear);
}

}  // namespace

TEST_CASE("the reference agrees with the published code on block fp8 with YaRN") {
    check_against(Oracle("k2-tiny"));
}

TEST_CASE("the reference agrees with the published code on bf16 with one query projection") {
    check_against(Oracle("moonlight-tiny"));
}

TEST_CASE("the reference continues like the published code on block fp8") {
    check_greedy(Oracle("k2-tiny"));
}

TEST_CASE("the reference continues like the published code on bf16") {
    check_greedy(Oracle("moonlight-tiny"));
}

TEST_CASE("later tokens do not change what is before them") {
    const Oracle oracle("k2-tiny");
    std::vector<std::int32_t> tokens = oracle.tokens();
    tokens.resize(5);
    const ReferenceOutput whole = run_reference(oracle.config, oracle.checkpoint, tokens);
    tokens.resize(3);
    const ReferenceOutput part = run_reference(oracle.config, oracle.checkpoint, tokens);
    const std::size_t n = part.logits.size();
    CHECK(n == 3u * static_cast<std::size_t>(oracle.config.vocab_size));
    CHECK(std::vector<float>(whole.logits.begin(), whole.logits.begin() + n) == part.logits);
}

TEST_CASE("a token outside the vocabulary is refused") {
    const Oracle oracle("moonlight-tiny");
    const std::vector<std::int32_t> tokens = {5, 300};
    CHECK_THROWS_WITH_AS(run_reference(oracle.config, oracle.checkpoint, tokens),
                         "token 300 at position 1: the vocabulary has 300", Error);
}

TEST_CASE("tied embeddings are the head, whatever head the checkpoint has") {
    const Oracle oracle("moonlight-tiny");
    ModelConfig tied = oracle.config;
    tied.tie_word_embeddings = true;
    const std::vector<std::int32_t> tokens = {7};
    const std::vector<float> own = run_reference(oracle.config, oracle.checkpoint, tokens).logits;
    const std::vector<float> found = run_reference(tied, oracle.checkpoint, tokens).logits;
    CHECK(found.size() == own.size());
    CHECK(found != own);
}
