#include "model/activations.h"

namespace baltoro {

Activations::Activations(const ModelConfig& config, device::Device& device, int max_rows) {
    const auto allocate = [&](int n, std::size_t element_bytes,
                              device::MemoryKind kind = device::MemoryKind::device) {
        return device.allocate(
            static_cast<std::size_t>(max_rows) * static_cast<std::size_t>(n) * element_bytes, kind);
    };
    const int hidden = config.hidden_size;
    x = allocate(hidden, sizeof(float));
    normed = allocate(hidden, sizeof(bf16_t));
    normed_f32 = allocate(hidden, sizeof(float));
    rope = allocate(config.qk_rope_head_dim, sizeof(float));
    q_latent = allocate(config.q_lora_rank, sizeof(float));
    q_latent_normed = allocate(config.q_lora_rank, sizeof(bf16_t));
    q = allocate(config.num_attention_heads * config.qk_head_dim(), sizeof(float));
    kv = allocate(config.latent_dim(), sizeof(float));
    attended = allocate(config.num_attention_heads * config.v_head_dim, sizeof(bf16_t));
    experts_in = allocate(hidden, sizeof(bf16_t), device::MemoryKind::shared);
    expert_ids =
        allocate(config.num_experts_per_tok, sizeof(std::int32_t), device::MemoryKind::shared);
    gains = allocate(config.num_experts_per_tok, sizeof(float), device::MemoryKind::shared);
    routed = allocate(hidden, sizeof(float), device::MemoryKind::shared);
    head_in = allocate(hidden, sizeof(bf16_t));
    logits = allocate(config.vocab_size, sizeof(float), device::MemoryKind::shared);
}

}  // namespace baltoro
