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
                       RowRange rows) {
    const int n_rows = rows.n;
    const int n_heads = config_.num_attention_heads;
    const bf16_t* normed =  // bf16 [n_rows, hidden]
        rows.of<bf16_t>(activations_.normed, config_.hidden_size);
    float* kv =  // f32 [n_rows, kv_lora_rank + rope]
        rows.of<float>(activations_.kv, config_.latent_dim());
    float* q =  // f32 [n_rows, heads, nope + rope]
        rows.of<float>(activations_.q, n_heads * config_.qk_head_dim());
    bf16_t* attended =  // bf16 [n_rows, heads, v_head_dim]
        rows.of<bf16_t>(activations_.attended, n_heads * config_.v_head_dim);
    const float* rope = rows.of<float>(activations_.rope, config_.qk_rope_head_dim);
    float* x = rows.of<float>(activations_.x, config_.hidden_size);
    bf16_t* pages = kv_pages_.layer(layer_idx);

    project_queries(weights, rows);
    device_.product({weights.kv_a, normed, n_rows, kv, false});
    device_.write_latent(
        {shapes_, sequences, kv, weights.kv_a_norm, config_.latent_norm_eps, rope, pages});
    device_.attend({shapes_, sequences, q, weights.kv_b, rope, scale_, pages, attended});
    device_.product({weights.o, attended, n_rows, x, true});
}

// q = q_b RMSNorm(q_a x), or q_proj x in models without the low-rank step.
void MlaAttention::project_queries(const AttentionWeights& weights, RowRange rows) {
    const int n_rows = rows.n;
    const bf16_t* normed = rows.of<bf16_t>(activations_.normed, config_.hidden_size);
    float* q = rows.of<float>(activations_.q, config_.num_attention_heads * config_.qk_head_dim());
    if (config_.q_lora_rank == 0) return device_.product({weights.q_b, normed, n_rows, q, false});
    const int rank = config_.q_lora_rank;
    float* latent = rows.of<float>(activations_.q_latent, rank);
    bf16_t* latent_normed = rows.of<bf16_t>(activations_.q_latent_normed, rank);
    device_.product({weights.q_a, normed, n_rows, latent, false});
    device_.rms_norm({latent, rank, weights.q_a_norm, config_.latent_norm_eps, n_rows, rank,
                      nullptr, latent_normed});
    device_.product({weights.q_b, latent_normed, n_rows, q, false});
}

}  // namespace baltoro
