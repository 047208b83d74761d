#include "model/mla_attention.h"

#include "model/rope_yarn.h"

namespace baltoro {

MlaAttention::MlaAttention(const ModelConfig& config,
                           device::Device& device,
                           Activations& activations,
                           KvPages& kv_pages)
    : config_(config),
      device_(device),
      activations_(activations),
      kv_pages_(kv_pages),
      shapes_{config.num_attention_heads, config.kv_lora_rank, config.qk_nope_head_dim,
              config.qk_rope_head_dim, config.v_head_dim},
      scale_(static_cast<float>(attention_scale(config))) {}

void MlaAttention::add(const AttentionWeights& weights,
                       int layer_idx,
                       std::span<const device::SequenceRows> sequences,
                       int n_rows) {
    const bf16_t* normed = activations_.normed.as<bf16_t>();  // bf16 [n_rows, hidden]
    float* kv = activations_.kv.as<float>();                  // f32 [n_rows, kv_lora_rank + rope]
    float* q = activations_.q.as<float>();                    // f32 [n_rows, heads, nope + rope]
    bf16_t* attended = activations_.attended.as<bf16_t>();    // bf16 [n_rows, heads, v_head_dim]
    const float* rope = activations_.rope.as<float>();
    bf16_t* pages = kv_pages_.layer(layer_idx);

    project_queries(weights, n_rows);
    device_.product({weights.kv_a, normed, n_rows, kv, false});
    device_.write_latent(
        {shapes_, sequences, kv, weights.kv_a_norm, config_.latent_norm_eps, rope, pages});
    device_.attend({shapes_, sequences, q, weights.kv_b, rope, scale_, pages, attended});
    device_.product({weights.o, attended, n_rows, activations_.x.as<float>(), true});
}

// q = q_b RMSNorm(q_a x), or q_proj x in models without the low-rank step.
void MlaAttention::project_queries(const AttentionWeights& weights, int n_rows) {
    const bf16_t* normed = activations_.normed.as<bf16_t>();
    float* q = activations_.q.as<float>();
    if (config_.q_lora_rank == 0) return device_.product({weights.q_b, normed, n_rows, q, false});
    const int rank = config_.q_lora_rank;
    float* latent = activations_.q_latent.as<float>();
    bf16_t* latent_normed = activations_.q_latent_normed.as<bf16_t>();
    device_.product({weights.q_a, normed, n_rows, latent, false});
    device_.rms_norm({latent, rank, weights.q_a_norm, config_.latent_norm_eps, n_rows, rank,
                      nullptr, latent_normed});
    device_.product({weights.q_b, latent_normed, n_rows, q, false});
}

}  // namespace baltoro
