#include "model/model.h"

#include <cmath>
#include <exception>
#include <limits>
#include <string>
#include <utility>

#include "base/check.h"
#include "base/log.h"
#include "model/rope_yarn.h"

namespace baltoro {
namespace {

// Rows of a step whose halves give every expert this many rows on average: about where AMX, not
// the memory, limits an expert (see cpu_kernels/README.md).
constexpr int kRowsPerExpert = 64;

int rows_bound_by_arithmetic(const ModelConfig& config) noexcept {
    if (config.num_experts_per_tok == 0) return std::numeric_limits<int>::max();
    return 2 * kRowsPerExpert * config.n_routed_experts / config.num_experts_per_tok;
}

std::optional<ResidentExperts> make_resident(const ModelConfig& config,
                                             const Checkpoint& checkpoint,
                                             device::Device& device,
                                             RoutedExperts& host,
                                             const ModelLimits& limits) {
    if (limits.device_experts == 0) return {};
    check(device.overlaps_host(), "only a device with memory of its own takes routed experts");
    const experts::ExpertReader reader(checkpoint.shards(), limits.keep_cached);
    return std::optional<ResidentExperts>(std::in_place, config, device, host, reader,
                                          limits.device_experts);
}

}  // namespace

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
      resident_(make_resident(config, checkpoint, device, experts_, limits)),
      moe_layer_(config,
                 device,
                 activations_,
                 team,
                 kernels,
                 experts_.node_stores(),
                 limits.max_rows,
                 resident_ ? &*resident_ : nullptr),
      rows_for_two_parts_(limits.rows_for_two_parts > 0 ? limits.rows_for_two_parts
                                                        : rows_bound_by_arithmetic(config)),
      rope_frequencies_(rope_frequencies(config)),
      rope_rows_(static_cast<std::size_t>(limits.max_rows) *
                 static_cast<std::size_t>(config.qk_rope_head_dim)) {}

std::span<const float> Model::forward(const Batch& batch, Trace* trace) {
    const int n_rows = static_cast<int>(batch.tokens.size());
    check(n_rows > 0 && n_rows <= limits_.max_rows, "a step has 1 to max_rows rows");
    try {
        return step(batch, trace);
    } catch (...) {
        device_.give_up_step();
        throw;
    }
}

// Per layer x += Attention(RMSNorm(x)), x += FFN(RMSNorm(x)); then the head. With two parts, one is
// in attention on the device while the other is with the routed experts.
std::span<const float> Model::step(const Batch& batch, Trace* trace) {
    device_.begin_step(batch.kind);
    write_rope(batch);
    device_.embed({weights_.embed, batch.tokens, activations_.x.as<float>()});
    const std::span<Part> parts = divide(batch, trace);
    // A trace is fetched between the layers; without logits nobody waits for the end.
    if (batch.kind == StepKind::decode && trace == nullptr && !batch.logit_rows.empty())
        device_.begin_repeatable({batch.sequences, batch.logit_rows});
    int moe_layer_idx = 0;
    for (int l = 0; l < config_.num_hidden_layers; l++) {
        for (Part& part : parts) {
            add_routed(part);  // of the layer before
            add_layer(l, moe_layer_idx, batch.kind, part, trace);
        }
        if (config_.is_moe_layer(l)) moe_layer_idx++;
        if (trace != nullptr) append_hidden(*trace, l, parts.front());
    }
    for (Part& part : parts)
        add_routed(part);
    return head(batch.logit_rows);
}

void Model::add_layer(int layer_idx, int moe_layer_idx, StepKind kind, Part& part, Trace* trace) {
    const LayerWeights& layer = weights_.layers[static_cast<std::size_t>(layer_idx)];
    const RowRange rows = part.rows;
    const int hidden = config_.hidden_size;
    const bool is_moe = config_.is_moe_layer(layer_idx);
    bf16_t* normed = rows.of<bf16_t>(activations_.normed, hidden);        // bf16 [n, hidden]
    float* normed_f32 = rows.of<float>(activations_.normed_f32, hidden);  // f32 [n, hidden]
    normalise(layer.input_norm, rows, nullptr, normed);
    attention_.add(layer.attention, layer_idx, part.sequences, rows);
    normalise(layer.post_attention_norm, rows, is_moe ? normed_f32 : nullptr, normed);
    if (is_moe)
        part.routed = moe_layer_.begin(layer, moe_layer_idx, rows, kind, trace);
    else
        device_.gated_ffn({layer.ffn.gate, layer.ffn.up, layer.ffn.down, normed, rows.n,
                           rows.of<float>(activations_.x, hidden)});
}

void Model::add_routed(Part& part) {
    if (part.routed) moe_layer_.end(*part.routed);
    part.routed.reset();
}

// Half of a step reads most experts' weights as the whole does, so two parts pay only where the
// experts are bound by arithmetic.
std::span<Model::Part> Model::divide(const Batch& batch, const Trace* trace) {
    const int n_rows = static_cast<int>(batch.tokens.size());
    const bool is_divided = device_.overlaps_host() && trace == nullptr &&
                            batch.kind == StepKind::prefill && batch.sequences.size() == 1 &&
                            n_rows >= rows_for_two_parts_;
    if (!is_divided) {
        parts_[0] = {{0, n_rows}, batch.sequences, {}};
        return {parts_, 1};
    }
    const int half = n_rows / 2;
    const device::SequenceRows& whole = batch.sequences.front();
    halves_[0] = {0, half, whole.first_position, whole.page_table};
    halves_[1] = {0, n_rows - half, whole.first_position + half, whole.page_table};
    parts_[0] = {{0, half}, {halves_, 1}, {}};
    parts_[1] = {{half, n_rows - half}, {halves_ + 1, 1}, {}};
    return {parts_, 2};
}

void Model::normalise(const bf16_t* gain, RowRange rows, float* dst_f32, bf16_t* dst_bf16) {
    const int hidden = config_.hidden_size;
    device_.rms_norm({rows.of<float>(activations_.x, hidden), hidden, gain, config_.rms_norm_eps,
                      rows.n, hidden, dst_f32, dst_bf16});
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

void Model::append_hidden(Trace& trace, int layer_idx, Part& part) {
    add_routed(part);
    const std::size_t n =
        static_cast<std::size_t>(part.rows.n) * static_cast<std::size_t>(config_.hidden_size);
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

void Model::move_hot_experts() {
    if (!resident_ || !moves_experts_) return;
    try {
        device_.finish();  // a step without logits may be under way, with experts where they are
        resident_->move_hot();
    } catch (const std::exception& error) {
        // Who is served needs none of them to move. A device that has failed says so again in the
        // next step, whose requests hear of it.
        moves_experts_ = false;
        log_warning(std::string("the experts on the GPU stay as they are from now on: ") +
                    error.what());
    }
}

std::size_t Model::weight_bytes_per_token() const noexcept {
    return weights_.bytes_per_token() + experts_.bytes_per_row(config_.num_experts_per_tok);
}

}  // namespace baltoro
