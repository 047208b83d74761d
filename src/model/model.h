#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "device/device.h"
#include "model/activations.h"
#include "model/config.h"
#include "model/kv_pages.h"
#include "model/mla_attention.h"
#include "model/moe_layer.h"
#include "model/resident_experts.h"
#include "model/routed_experts.h"
#include "model/trace.h"
#include "model/weights.h"
#include "numa/team.h"

namespace baltoro {

// The tokens of one step: rows of one or more sequences, each row's cache slot given by its
// sequence's page table.
struct Batch {
    std::span<const std::int32_t> tokens;             // one per row, each in [0, vocab_size)
    std::span<const device::SequenceRows> sequences;  // cover the rows in order, without gaps
    std::span<const std::int32_t> logit_rows;         // ascending rows whose logits are wanted
    StepKind kind = StepKind::prefill;
};

// Sizes a model is built for.
struct ModelLimits {
    int max_rows = 512;  // most rows of one step
    int n_pages = 1;     // of the KV cache
    // Rows from which on a prefill step of an overlapping device is computed in two parts that take
    // turns; 0: where the experts are bound by arithmetic.
    int rows_for_two_parts = 0;
    // Routed experts of each layer that live on an overlapping device.
    int device_experts = 0;
    // Whether files of which those experts were read may stay in the page cache.
    bool keep_cached = true;
};

// The forward pass of the DeepSeek-V3 architecture (arXiv 2412.19437): dense parts on a device,
// routed experts on the CPU's team. Owns the weights' placement, the KV pages and the activations.
// Engine thread only.
class Model {
  public:
    // Checkpoint, device and team must outlive the model. The checkpoint has passed
    // require_complete(). `experts` are the checkpoint's, placed for the team; copies may leave out
    // the first limits.device_experts of each layer.
    Model(const ModelConfig& config,
          const Checkpoint& checkpoint,
          device::Device& device,
          numa::Team& team,
          const kernels::Table& kernels,
          const ModelLimits& limits,
          RoutedExperts experts);

    // With the experts where they lie in the checkpoint.
    Model(const ModelConfig& config,
          const Checkpoint& checkpoint,
          device::Device& device,
          numa::Team& team,
          const kernels::Table& kernels,
          const ModelLimits& limits);

    // Runs one step and returns the logits, f32 [logit_rows.size(), vocab_size], valid until the
    // next step. `trace`, if given, is appended to.
    std::span<const float> forward(const Batch& batch, Trace* trace = nullptr);

    // Between requests: lets experts that have become hot move to the device. If that fails, for
    // instance because a shard cannot be read, the log says so and no expert moves ever after.
    void move_hot_experts();

    // The calling thread is the engine thread from here on.
    void take_over() { team_.take_over(); }

    const ModelConfig& config() const noexcept { return config_; }
    const ModelLimits& limits() const noexcept { return limits_; }

    // Of the routed experts' weights, by all steps so far.
    std::uint64_t expert_bytes_read() const noexcept { return moe_layer_.bytes_read(); }

    // Bytes of weights that one decoded token reads: the device's and its routed experts'.
    std::size_t weight_bytes_per_token() const noexcept;

  private:
    // Rows that go through the layers together.
    struct Part {
        RowRange rows;
        std::span<const device::SequenceRows> sequences;
        std::optional<MoeLayer::Started> routed;  // experts' work that is still to be added
    };

    std::span<const float> step(const Batch& batch, Trace* trace);
    std::span<Part> divide(const Batch& batch, const Trace* trace);
    void add_layer(int layer_idx, int moe_layer_idx, StepKind kind, Part& part, Trace* trace);
    void add_routed(Part& part);
    void normalise(const bf16_t* gain, RowRange rows, float* dst_f32, bf16_t* dst_bf16);
    void write_rope(const Batch& batch);
    void append_hidden(Trace& trace, int layer_idx, Part& part);
    std::span<const float> head(std::span<const std::int32_t> logit_rows);

    ModelConfig config_;
    ModelLimits limits_;
    device::Device& device_;
    numa::Team& team_;
    ModelWeights weights_;
    RoutedExperts experts_;
    Activations activations_;
    KvPages kv_pages_;
    MlaAttention attention_;
    std::optional<ResidentExperts> resident_;  // with limits.device_experts
    bool moves_experts_ = true;
    MoeLayer moe_layer_;
    Part parts_[2];
    device::SequenceRows halves_[2] = {};  // the sequences of two parts
    int rows_for_two_parts_;
    std::vector<double> rope_frequencies_;
    std::vector<float> rope_rows_;  // the step's cosines and sines, on the host
};

}  // namespace baltoro
