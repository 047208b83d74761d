// The whole model on an emulated GPU that repeats decode steps as graphs, against one that launches
// every kernel: whatever a graph holds that should differ between steps makes other bits.

#include <vector>

#include <doctest/doctest.h>

#include "device/emulated_platform.h"
#include "tests/model/decoder.h"

using namespace baltoro;
using namespace baltoro::testing;

namespace {

device::EmulationOptions delayed(std::uint64_t seed) {
    device::EmulationOptions options;
    options.max_delay_us = 30;
    options.seed = seed;
    options.lanes = device::EmulationOptions::Lanes::shuffled;
    return options;
}

device::GpuStepShapes shapes_of(const ModelConfig& config) {
    device::GpuStepShapes shapes;
    shapes.mla = {config.num_attention_heads, config.kv_lora_rank, config.qk_nope_head_dim,
                  config.qk_rope_head_dim, config.v_head_dim};
    shapes.max_rows = Decoder::kMaxRows;
    shapes.max_tokens = Decoder::kPagesEach * device::kPageTokens;
    shapes.ffn_size = config.intermediate_size;
    shapes.n_experts = config.n_routed_experts;
    shapes.hidden_size = config.hidden_size;
    shapes.experts_per_row = config.num_experts_per_tok;
    shapes.largest_weight = static_cast<std::size_t>(config.vocab_size * config.hidden_size);
    return shapes;
}

}  // namespace

TEST_CASE("decode steps that are repeated as graphs give the bits of steps that are launched") {
    const Oracle oracle("k2-tiny");
    Decoder launched(oracle, 0, device::make_emulated_platform());
    const std::vector<std::vector<float>> expected = decode_all(launched);
    CHECK(launched.gpu().graph_counts().repeated == 0);
    Decoder repeated(oracle, 16, device::make_emulated_platform(delayed(7)));
    repeated.gpu().reserve(shapes_of(repeated.config()));
    const std::vector<std::vector<float>> logits = decode_all(repeated);
    for (std::size_t i = 0; i < expected.size(); i++) {
        CAPTURE(i);
        CHECK(logits[i] == expected[i]);
    }
    // Kinds of steps: one row and two with up to 128 tokens and with more, two with the logits of
    // one, three rows. Of one row 3 and 1 steps are repeats, of two 2 and 1, and 1 of each other.
    CHECK(repeated.gpu().graph_counts().recorded == 6);
    CHECK(repeated.gpu().graph_counts().repeated == 9);
}

TEST_CASE("graphs that give way, or go as memory grows, are recorded anew with the same bits") {
    const Oracle oracle("k2-tiny");
    Decoder launched(oracle, 0, device::make_emulated_platform());
    Decoder repeated(oracle, 1, device::make_emulated_platform(delayed(9)));
    for (Decoder* decoder : {&launched, &repeated})
        decoder->prefill(0, 20);
    const auto check_steps = [&](const std::vector<int>& sequences, int n) {
        for (int i = 0; i < n; i++)
            CHECK(repeated.decode(sequences) == launched.decode(sequences));
    };
    check_steps({0}, 4);
    const int n_recorded = repeated.gpu().graph_counts().recorded;
    check_steps({0, 1, 2}, 4);
    check_steps({0}, 4);
    CHECK(n_recorded > 0);
    CHECK(repeated.gpu().graph_counts().recorded >= n_recorded + 2);
    CHECK(repeated.gpu().graph_counts().repeated >= 3);
}
