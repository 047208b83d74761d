// The whole model on an emulated GPU that repeats decode steps as graphs, against one that launches
// every kernel: whatever a graph holds that should differ between steps makes other bits.

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

using namespace baltoro;
using namespace baltoro::testing;

namespace {

// A model on an emulated GPU with some sequences under way.
class Decoder {
  public:
    static constexpr int kSequences = 3;
    static constexpr int kPagesEach = 4;
    static constexpr int kMaxRows = 128;

    Decoder(const Oracle& oracle, int most_graphs, const device::EmulationOptions& options)
        : oracle_(oracle), loaded_(oracle.directory, kernels::best_isa(), 2, kMaxRows, [&] {
              auto made = std::make_unique<device::GpuDevice>(
                  device::make_emulated_platform(options), most_graphs);
              device_ = made.get();
              return made;
          }) {
        // The sequences' pages lie between one another, in falling order.
        for (int s = 0; s < kSequences; s++)
            for (int p = 0; p < kPagesEach; p++)
                pages_[s].push_back((kPagesEach - 1 - p) * kSequences + s);
    }

    void prefill(int sequence, int n_tokens) {
        const device::SequenceRows rows = take(sequence, n_tokens);
        (void)loaded_.model.forward({tokens_, {&rows, 1}, {}, StepKind::prefill});
        tokens_.clear();
    }

    // The logits of the next token of each sequence, in this order; without those of the first if
    // it is being caught up.
    std::vector<float> decode(const std::vector<int>& sequences, bool is_first_silent = false) {
        std::vector<device::SequenceRows> rows;
        std::vector<std::int32_t> logit_rows;
        for (const int s : sequences) {
            const auto row = static_cast<int>(rows.size());
            rows.push_back(take(s, 1));
            rows.back().first_row = row;
            if (row > 0 || !is_first_silent) logit_rows.push_back(row);
        }
        const std::span<const float> logits =
            loaded_.model.forward({tokens_, rows, logit_rows, StepKind::decode});
        tokens_.clear();
        return {logits.begin(), logits.end()};
    }

    device::GpuDevice& gpu() { return *device_; }
    const ModelConfig& config() const { return loaded_.config; }

  private:
    device::SequenceRows take(int sequence, int n_tokens) {
        const int first = lengths_[sequence];
        for (int i = 0; i < n_tokens; i++)
            tokens_.push_back(oracle_.tokens[static_cast<std::size_t>(
                (first + i + 17 * sequence) % static_cast<int>(oracle_.tokens.size()))]);
        lengths_[sequence] += n_tokens;
        return {0, n_tokens, first, pages_[sequence]};
    }

    const Oracle& oracle_;
    device::GpuDevice* device_ = nullptr;
    LoadedModel loaded_;
    std::vector<std::int32_t> tokens_;  // of the step
    std::vector<std::int32_t> pages_[kSequences];
    int lengths_[kSequences] = {};
};

device::EmulationOptions delayed(std::uint64_t seed) {
    device::EmulationOptions options;
    options.max_delay_us = 30;
    options.seed = seed;
    options.lanes = device::EmulationOptions::Lanes::shuffled;
    return options;
}

// Sequence 0 passes 64 tokens, where a page ends, sequence 1 passes 128, where its context is split
// into more parts as well; 2 begins with nothing.
std::vector<std::vector<float>> decode_all(Decoder& decoder) {
    decoder.prefill(0, 61);
    decoder.prefill(1, 125);
    std::vector<std::vector<float>> logits;
    for (int i = 0; i < 4; i++)
        logits.push_back(decoder.decode({0}));
    for (int i = 0; i < 6; i++)
        logits.push_back(decoder.decode({1, 0}));
    decoder.prefill(2, 3);
    logits.push_back(decoder.decode({0, 2, 1}));
    logits.push_back(decoder.decode({2, 1, 0}));
    logits.push_back(decoder.decode({1, 0, 2}));
    for (int i = 0; i < 4; i++)
        logits.push_back(decoder.decode({2, 0}, i > 0));
    for (const int sequence : {1, 1, 1, 2})
        logits.push_back(decoder.decode({sequence}));
    return logits;
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
    Decoder launched(oracle, 0, {});
    const std::vector<std::vector<float>> expected = decode_all(launched);
    CHECK(launched.gpu().graph_counts().repeated == 0);
    Decoder repeated(oracle, 16, delayed(7));
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
    Decoder launched(oracle, 0, {});
    Decoder repeated(oracle, 1, delayed(9));
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
