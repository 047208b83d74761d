#include "model/weights.h"

#include <cstdint>
#include <cstring>
#include <string>

#include <fmt/format.h>

#include "base/aligned_tensors.h"
#include "base/float_formats.h"

namespace baltoro {
namespace {

// Finds tensors that check_checkpoint() has found present and well-formed.
class Placer {
  public:
    Placer(const Checkpoint& checkpoint, device::Device& device)
        : checkpoint_(checkpoint), device_(device) {}

    device::Matrix matrix(const std::string& name,
                          device::WeightUse use = device::WeightUse::product) const {
        return device_.place(*checkpoint_.find(name + ".weight"),
                             checkpoint_.find(name + ".weight_scale_inv"), use);
    }

    const bf16_t* norm(const std::string& name) const {
        return static_cast<const bf16_t*>(
            device_.place(*checkpoint_.find(name + ".weight"), nullptr, device::WeightUse::product)
                .data);
    }

    // A vector of f32 or bf16 as f32 on the device.
    device::Buffer f32_vector(const std::string& name) const {
        const TensorView& tensor = *checkpoint_.find(name);
        const auto n = static_cast<std::size_t>(tensor.shape[0]);
        std::vector<float> values(n);
        for (std::size_t i = 0; i < n; i++) {
            const std::byte* element = tensor.data + i * dtype_bytes(tensor.dtype);
            if (tensor.dtype == DType::f32) {
                std::memcpy(&values[i], element, sizeof(float));
            } else {
                bf16_t bits = 0;
                std::memcpy(&bits, element, sizeof bits);
                values[i] = float_from_bf16(bits);
            }
        }
        device::Buffer buffer = device_.allocate(n * sizeof(float), device::MemoryKind::device);
        device_.copy_from_host(buffer.as<float>(), values.data(), n * sizeof(float));
        return buffer;
    }

    FfnWeights ffn(const std::string& prefix) const {
        return {matrix(prefix + "gate_proj"), matrix(prefix + "up_proj"),
                matrix(prefix + "down_proj")};
    }

    AttentionWeights attention(const ModelConfig& config, const std::string& prefix) const {
        AttentionWeights weights;
        if (config.q_lora_rank > 0) {
            weights.q_a = matrix(prefix + "q_a_proj");
            weights.q_a_norm = norm(prefix + "q_a_layernorm");
            weights.q_b = matrix(prefix + "q_b_proj");
        } else {
            weights.q_b = matrix(prefix + "q_proj");
        }
        weights.kv_a = matrix(prefix + "kv_a_proj_with_mqa");
        weights.kv_a_norm = norm(prefix + "kv_a_layernorm");
        weights.kv_b = matrix(prefix + "kv_b_proj");
        weights.o = matrix(prefix + "o_proj");
        return weights;
    }

  private:
    const Checkpoint& checkpoint_;
    device::Device& device_;
};

kernels::Weight expert_weight(const Checkpoint& checkpoint,
                              const std::string& name,
                              AlignedTensors& aligned) {
    const TensorView& weight = *checkpoint.find(name + ".weight");
    const TensorView* scale = checkpoint.find(name + ".weight_scale_inv");
    const int n = static_cast<int>(weight.shape[0]);
    const int k = static_cast<int>(weight.shape[1]);
    return {aligned.of(weight),
            scale == nullptr ? nullptr : static_cast<const float*>(aligned.of(*scale)),
            n,
            k,
            k,
            scale == nullptr ? kernels::WeightFormat::bf16 : kernels::WeightFormat::fp8_block};
}

std::size_t ffn_bytes(const FfnWeights& weights) noexcept {
    return weights.gate.size_bytes + weights.up.size_bytes + weights.down.size_bytes;
}

}  // namespace

std::size_t ModelWeights::bytes_per_token() const noexcept {
    std::size_t total = head.size_bytes;
    for (const LayerWeights& layer : layers) {
        const AttentionWeights& a = layer.attention;
        total += a.q_a.size_bytes + a.q_b.size_bytes + a.kv_a.size_bytes + a.kv_b.size_bytes +
                 a.o.size_bytes;
        total += ffn_bytes(layer.ffn) + layer.router.gate.size_bytes;
    }
    return total;
}

ModelWeights place_weights(const ModelConfig& config,
                           const Checkpoint& checkpoint,
                           device::Device& device) {
    const Placer placer(checkpoint, device);
    ModelWeights weights;
    weights.embed = placer.matrix("model.embed_tokens", device::WeightUse::lookup);
    for (int l = 0; l < config.num_hidden_layers; l++) {
        const std::string prefix = fmt::format("model.layers.{}.", l);
        LayerWeights layer;
        layer.input_norm = placer.norm(prefix + "input_layernorm");
        layer.attention = placer.attention(config, prefix + "self_attn.");
        layer.post_attention_norm = placer.norm(prefix + "post_attention_layernorm");
        if (!config.is_moe_layer(l)) {
            layer.ffn = placer.ffn(prefix + "mlp.");
        } else {
            if (config.n_shared_experts > 0) layer.ffn = placer.ffn(prefix + "mlp.shared_experts.");
            layer.router = {placer.matrix(prefix + "mlp.gate"),
                            placer.f32_vector(prefix + "mlp.gate.e_score_correction_bias")};
        }
        weights.layers.push_back(std::move(layer));
    }
    weights.final_norm = placer.norm("model.norm");
    weights.head = placer.matrix(config.tie_word_embeddings ? "model.embed_tokens" : "lm_head");
    return weights;
}

experts::ExpertStore map_experts(const ModelConfig& config, const Checkpoint& checkpoint) {
    std::vector<experts::ExpertWeights> all;
    AlignedTensors aligned;
    int n_moe_layers = 0;
    for (int l = 0; l < config.num_hidden_layers; l++) {
        if (!config.is_moe_layer(l)) continue;
        n_moe_layers++;
        for (int e = 0; e < config.n_routed_experts; e++) {
            const std::string prefix = fmt::format("model.layers.{}.mlp.experts.{}.", l, e);
            all.push_back({expert_weight(checkpoint, prefix + "gate_proj", aligned),
                           expert_weight(checkpoint, prefix + "up_proj", aligned),
                           expert_weight(checkpoint, prefix + "down_proj", aligned)});
        }
    }
    return {n_moe_layers, config.n_routed_experts, std::move(all), std::move(aligned)};
}

}  // namespace baltoro
