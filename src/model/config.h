#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace baltoro {

// rope_scaling of type "yarn"; absent means plain RoPE.
struct YarnConfig {
    double factor = 1.0;
    int original_max_position_embeddings = 4096;
    double beta_fast = 32.0;
    double beta_slow = 1.0;
    double mscale = 1.0;
    double mscale_all_dim = 0.0;
};

// The architecture, with the names of config.json. Every value has been validated: positive, within
// sane limits, consistent with the others.
struct ModelConfig {
    std::string model_type;
    int vocab_size = 0;
    int hidden_size = 0;
    int num_hidden_layers = 0;
    int num_attention_heads = 0;
    int q_lora_rank = 0;  // 0 where config.json has null: one q_proj
    int kv_lora_rank = 0;
    int qk_nope_head_dim = 0;
    int qk_rope_head_dim = 0;
    int v_head_dim = 0;
    int intermediate_size = 0;
    int moe_intermediate_size = 0;
    int n_routed_experts = 0;  // 0: every layer is dense
    int num_experts_per_tok = 0;
    int n_shared_experts = 0;
    int first_k_dense_replace = 0;
    int moe_layer_freq = 1;
    int n_group = 1;
    int topk_group = 1;
    bool norm_topk_prob = true;
    double routed_scaling_factor = 1.0;
    double rms_norm_eps = 1e-6;
    double latent_norm_eps = 1e-6;  // q_a and kv_a norms: the published code passes no eps there
    double rope_theta = 10000.0;
    std::optional<YarnConfig> yarn;
    int max_position_embeddings = 0;
    bool tie_word_embeddings = false;
    bool fp8_blocks = false;         // quantization_config: fp8 with weight_block_size [128, 128]
    bool int4_groups = false;        // quantization_config: compressed-tensors; cannot be run yet
    std::vector<int> eos_token_ids;  // union of config.json and generation_config.json
    std::optional<int> bos_token_id;
    // generation_config.json, where given.
    std::optional<double> temperature;
    std::optional<double> top_p;
    std::optional<int> top_k;

    int qk_head_dim() const noexcept { return qk_nope_head_dim + qk_rope_head_dim; }
    int latent_dim() const noexcept { return kv_lora_rank + qk_rope_head_dim; }  // one cached token
    bool is_moe_layer(int layer_idx) const noexcept {
        return n_routed_experts > 0 && layer_idx >= first_k_dense_replace &&
               layer_idx % moe_layer_freq == 0;
    }
    int n_moe_layers() const noexcept {
        int n = 0;
        for (int l = 0; l < num_hidden_layers; l++)
            n += is_moe_layer(l) ? 1 : 0;
        return n;
    }
    // Softmax scale and rotary frequencies are in model/rope_yarn.h.
};

// Reads config.json and, if present, generation_config.json of a checkpoint directory; looks into
// `text_config` for multimodal checkpoints. For Kimi checkpoints (model_type kimi_k2 / kimi_k25, or
// the Kimi vocabulary size of 163840) both end tokens 163585 and 163586 are added to eos_token_ids,
// provided the vocabulary has them. int4 checkpoints are read, so that they can be inspected;
// model/checkpoint_check.h refuses to run them.
// Throws Error naming file, field, what was found and what is accepted.
ModelConfig read_model_config(const std::string& directory);

// The same from JSON texts (`generation_json` may be empty); `source` names the file in messages.
ModelConfig parse_model_config(const std::string& config_json,
                               const std::string& generation_json,
                               const std::string& source);

}  // namespace baltoro
