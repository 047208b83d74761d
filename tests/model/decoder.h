#pragma once

#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "base/error.h"
#include "device/gpu_device.h"
#include "model/model.h"
#include "tests/model/loaded_model.h"
#include "tests/model/oracle.h"

namespace baltoro::testing {

// A model on a GPU with some sequences under way.
class Decoder {
  public:
    static constexpr int kSequences = 3;
    static constexpr int kPagesEach = 4;
    static constexpr int kMaxRows = 128;

    Decoder(const Oracle& oracle, int most_graphs, std::unique_ptr<device::GpuPlatform> platform)
        : oracle_(oracle), loaded_(oracle.directory, kernels::best_isa(), 2, kMaxRows, [&] {
              auto made = std::make_unique<device::GpuDevice>(std::move(platform), most_graphs);
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
    // it is being caught up. A step that fails has not been.
    std::vector<float> decode(const std::vector<int>& sequences, bool is_first_silent = false) {
        std::vector<device::SequenceRows> rows;
        std::vector<std::int32_t> logit_rows;
        for (const int s : sequences) {
            const auto row = static_cast<int>(rows.size());
            rows.push_back(take(s, 1));
            rows.back().first_row = row;
            if (row > 0 || !is_first_silent) logit_rows.push_back(row);
        }
        try {
            const std::span<const float> logits =
                loaded_.model.forward({tokens_, rows, logit_rows, StepKind::decode});
            tokens_.clear();
            return {logits.begin(), logits.end()};
        } catch (const Error&) {
            tokens_.clear();
            for (const int s : sequences)
                lengths_[s]--;
            throw;
        }
    }

    device::GpuDevice& gpu() { return *device_; }
    const Model& model() const { return loaded_.model; }
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

// Sequence 0 passes 64 tokens, where a page ends, sequence 1 passes 128, where its context is split
// into more parts as well; 2 begins with nothing.
inline std::vector<std::vector<float>> decode_all(Decoder& decoder) {
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

}  // namespace baltoro::testing
