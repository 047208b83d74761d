#include "model/moe_layer.h"

namespace baltoro {

MoeLayer::MoeLayer(const ModelConfig& config,
                   device::Device& device,
                   Activations& activations,
                   numa::Team& team,
                   const kernels::Table& kernels,
                   std::span<const experts::ExpertStore> node_stores,
                   int max_rows)
    : config_(config),
      device_(device),
      activations_(activations),
      executor_(team,
                kernels,
                node_stores,
                {config.hidden_size, config.moe_intermediate_size, config.num_experts_per_tok,
                 max_rows}) {}

void MoeLayer::add(
    const LayerWeights& layer, int moe_layer_idx, int n_rows, StepKind kind, Trace* trace) {
    float* x = activations_.x.as<float>();                           // f32 [n_rows, hidden]
    const bf16_t* h = activations_.experts_in.as<bf16_t>();          // bf16 [n_rows, hidden]
    std::int32_t* ids = activations_.expert_ids.as<std::int32_t>();  // [n_rows, top_k]
    float* gains = activations_.gains.as<float>();                   // f32 [n_rows, top_k]
    float* routed = activations_.routed.as<float>();                 // f32 [n_rows, hidden]

    device_.route({layer.router.gate, layer.router.bias.as<float>(), config_.num_experts_per_tok,
                   config_.n_group, config_.topk_group, config_.norm_topk_prob,
                   static_cast<float>(config_.routed_scaling_factor),
                   activations_.normed_f32.as<float>(), n_rows, ids, gains});
    device_.finish();  // ids, gains and h are the host's from here on
    executor_.run({moe_layer_idx, n_rows, h, ids, gains, routed, kind == StepKind::prefill});
    bytes_read_ += executor_.last_weight_bytes();
    if (layer.ffn.gate)
        device_.gated_ffn({layer.ffn.gate, layer.ffn.up, layer.ffn.down, h, n_rows, x});
    device_.add(routed, x,
                static_cast<std::size_t>(n_rows) * static_cast<std::size_t>(config_.hidden_size));
    if (trace != nullptr) append_experts(*trace, moe_layer_idx, n_rows);
}

void MoeLayer::append_experts(Trace& trace, int moe_layer_idx, int n_rows) const {
    const auto layer = static_cast<std::size_t>(moe_layer_idx);
    if (trace.routed_experts.size() <= layer) trace.routed_experts.resize(layer + 1);
    const std::int32_t* ids = activations_.expert_ids.as<std::int32_t>();
    trace.routed_experts[layer].insert(
        trace.routed_experts[layer].end(), ids,
        ids + static_cast<std::ptrdiff_t>(n_rows) * config_.num_experts_per_tok);
}

}  // namespace baltoro
