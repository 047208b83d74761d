#include "model/moe_layer.h"

namespace baltoro {

MoeLayer::MoeLayer(const ModelConfig& config,
                   device::Device& device,
                   Activations& activations,
                   numa::Team& team,
                   const kernels::Table& kernels,
                   std::span<const experts::ExpertStore> node_stores,
                   int max_rows,
                   ResidentExperts* resident)
    : config_(config),
      device_(device),
      activations_(activations),
      executor_(
          team,
          kernels,
          node_stores,
          {config.hidden_size, config.moe_intermediate_size, config.num_experts_per_tok, max_rows}),
      resident_(resident),
      tasks_(static_cast<std::size_t>(config.num_hidden_layers) * kPartsUnderWay) {}

MoeLayer::Started MoeLayer::begin(
    const LayerWeights& layer, int moe_layer_idx, RowRange rows, StepKind kind, Trace* trace) {
    const int hidden = config_.hidden_size;
    const int top_k = config_.num_experts_per_tok;
    float* x = rows.of<float>(activations_.x, hidden);                  // f32 [n, hidden]
    const bf16_t* h = rows.of<bf16_t>(activations_.normed, hidden);     // bf16 [n, hidden]
    auto* ids = rows.of<std::int32_t>(activations_.expert_ids, top_k);  // [n, top_k]
    float* gains = rows.of<float>(activations_.gains, top_k);           // f32 [n, top_k]

    device_.route({layer.router.gate, layer.router.bias.as<float>(), top_k, config_.n_group,
                   config_.topk_group, config_.norm_topk_prob,
                   static_cast<float>(config_.routed_scaling_factor),
                   rows.of<float>(activations_.normed_f32, hidden), rows.n, ids, gains});
    const void* host_h = device_.publish(
        h, rows.of<bf16_t>(activations_.experts_in, hidden),
        static_cast<std::size_t>(rows.n) * static_cast<std::size_t>(hidden) * sizeof(bf16_t));

    HostTask& task = tasks_[next_task_++ % tasks_.size()];
    task = {this,
            {moe_layer_idx, rows.n, static_cast<const bf16_t*>(host_h), ids, gains,
             rows.of<float>(activations_.routed, hidden), kind == StepKind::prefill,
             resident_ == nullptr ? nullptr : resident_->slot_of(moe_layer_idx)},
            trace};
    const int host_work = device_.begin_host_work({run_experts, &task});
    if (layer.ffn.gate)
        device_.gated_ffn({layer.ffn.gate, layer.ffn.up, layer.ffn.down, h, rows.n, x});
    if (resident_ != nullptr)
        device_.add_resident_experts(resident_->on_device(moe_layer_idx, h, rows.n, x));
    return {host_work, rows};
}

void MoeLayer::end(const Started& started) {
    const int hidden = config_.hidden_size;
    device_.end_host_work(started.host_work);
    device_.add(started.rows.of<float>(activations_.routed, hidden),
                started.rows.of<float>(activations_.x, hidden),
                static_cast<std::size_t>(started.rows.n) * static_cast<std::size_t>(hidden));
}

void MoeLayer::run_experts(void* context) {
    const HostTask& task = *static_cast<HostTask*>(context);
    MoeLayer& layer = *task.layer;
    layer.executor_.run(task.batch);
    layer.bytes_read_ += layer.executor_.last_weight_bytes();
    const std::size_t n_choices = static_cast<std::size_t>(task.batch.n_rows) *
                                  static_cast<std::size_t>(layer.config_.num_experts_per_tok);
    if (layer.resident_ != nullptr)
        layer.resident_->count(task.batch.moe_layer_idx, {task.batch.expert_ids, n_choices});
    if (task.trace != nullptr) layer.append_experts(task);
}

void MoeLayer::append_experts(const HostTask& task) const {
    const auto layer = static_cast<std::size_t>(task.batch.moe_layer_idx);
    std::vector<std::vector<std::int32_t>>& traced = task.trace->routed_experts;
    if (traced.size() <= layer) traced.resize(layer + 1);
    const std::int32_t* ids = task.batch.expert_ids;
    traced[layer].insert(
        traced[layer].end(), ids,
        ids + static_cast<std::ptrdiff_t>(task.batch.n_rows) * config_.num_experts_per_tok);
}

}  // namespace baltoro
