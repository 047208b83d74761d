#include "model/model.h"

#include <cmath>
#include <utility>

#include "base/check.h"
#include "model/rope_yarn.h"

namespace baltoro {

Model::Model(const ModelConfig& config,
             const Checkpoint& checkpoint,
             device::Device& device,
             numa::Team& team,
             const kernels::Table& kernels,
             const ModelLimits& limits)
    : Model(config,
            checkpoint,
            device,
            team,
            kernels,
            limits,
            RoutedExperts(map_experts(config, checkpoint))) {}

Model::Model(const ModelConfig& config,
             const Checkpoint& checkpoint,
             device::Device& device,
             numa::Team& team,
             const kernels::Table& kernels,
             const ModelLimits& limits,
             RoutedExperts experts)
    : config_(config),
      limits_(limits),
      device_(device),
      team_(team),
      weights_(place_weights(config, checkpoint, device)),
      experts_(std::move(experts)),
      activations_(config, device, limits.max_rows),
      kv_pages_(config, device, limits.n_pages),
      attention_(config, device, activations_, kv_pages_),
      moe_layer_(
          config, device, activations_, team, kernels, experts_.node_stores(), limits.max_rows),
      rope_frequencies_(rope_frequencies(config)),
      rope_rows_(static_cast<std::size_t>(limits.max_rows) *
                 static_cast<std::size_t>(config.qk_rope_head_dim)) {}

// Per layer x += Attention(RMSNorm(x)), x += FFN(RMSNorm(x)); then the head.
std::span<const float> Model::forward(const Batch& batch, Trace* trace) {
    const int n_rows = static_cast<int>(batch.tokens.size());
    check(n_rows > 0 && n_rows <= limits_.max_rows, "a step has 1 to max_rows rows");
    float* x = activations_.x.as<float>();              // f32 [n_rows, hidden]: the residual stream
    bf16_t* normed = activations_.normed.as<bf16_t>();  // bf16 [n_rows, hidden]

    write_rope(batch);
    device_.begin_step(batch.kind);
    device_.embed({weights_.embed, batch.tokens, x});
    int moe_layer_idx = 0;
    for (int l = 0; l < config_.num_hidden_layers; l++) {
        const LayerWeights& layer = weights_.layers[static_cast<std::size_t>(l)];
        normalise(layer.input_norm, n_rows, nullptr, normed);
        attention_.add(layer.attention, l, batch.sequences, n_rows);
        if (config_.is_moe_layer(l)) {
            normalise(layer.post_attention_norm, n_rows, activations_.normed_f32.as<float>(),
                      activations_.experts_in.as<bf16_t>());
            moe_layer_.add(layer, moe_layer_idx++, n_rows, batch.kind, trace);
        } else {
            normalise(layer.post_attention_norm, n_rows, nullptr, normed);
            device_.gated_ffn({layer.ffn.gate, layer.ffn.up, layer.ffn.down, normed, n_rows, x});
        }
        if (trace != nullptr) append_hidden(*trace, l, n_rows);
    }
    return head(batch.logit_rows);
}

void Model::normalise(const bf16_t* gain, int n_rows, float* dst_f32, bf16_t* dst_bf16) {
    const int hidden = config_.hidden_size;
    device_.rms_norm({activations_.x.as<float>(), hidden, gain, config_.rms_norm_eps, n_rows,
                      hidden, dst_f32, dst_bf16});
}

// Angles in double: at position 100,000 an f32 product would be off by 0.01 rad.
void Model::write_rope(const Batch& batch) {
    std::size_t at = 0;
    for (const device::SequenceRows& sequence : batch.sequences) {
        for (int r = 0; r < sequence.n_rows; r++) {
            for (const double frequency : rope_frequencies_) {
                const double angle = (sequence.first_position + r) * frequency;
                rope_rows_[at++] = static_cast<float>(std::cos(angle));
                rope_rows_[at++] = static_cast<float>(std::sin(angle));
            }
        }
    }
    device_.copy_from_host(activations_.rope.as<float>(), rope_rows_.data(), at * sizeof(float));
}

void Model::append_hidden(Trace& trace, int layer_idx, int n_rows) {
    const auto n = static_cast<std::size_t>(n_rows) * static_cast<std::size_t>(config_.hidden_size);
    trace.hidden.resize(static_cast<std::size_t>(config_.num_hidden_layers));
    std::vector<float>& dst = trace.hidden[static_cast<std::size_t>(layer_idx)];
    dst.resize(dst.size() + n);
    device_.finish();
    device_.copy_to_host(dst.data() + dst.size() - n, activations_.x.as<float>(),
                         n * sizeof(float));
}

std::span<const float> Model::head(std::span<const std::int32_t> logit_rows) {
    const auto hidden = static_cast<std::size_t>(config_.hidden_size);
    const auto n = static_cast<std::size_t>(config_.vocab_size) * logit_rows.size();
    if (n == 0) return {};
    bf16_t* rows = activations_.head_in.as<bf16_t>();
    for (std::size_t i = 0; i < logit_rows.size(); i++) {
        const float* row =
            activations_.x.as<float>() + static_cast<std::size_t>(logit_rows[i]) * hidden;
        device_.rms_norm({row, config_.hidden_size, weights_.final_norm, config_.rms_norm_eps, 1,
                          config_.hidden_size, nullptr, rows + i * hidden});
    }
    device_.product({weights_.head, rows, static_cast<int>(logit_rows.size()),
                     activations_.logits.as<float>(), false});
    device_.finish();
    return {activations_.logits.as<float>(), n};
}

std::size_t Model::weight_bytes_per_token() const noexcept {
    return weights_.bytes_per_token() + experts_.bytes_per_row(config_.num_experts_per_tok);
}

}  // namespace baltoro
