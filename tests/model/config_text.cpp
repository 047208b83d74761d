#include "tests/model/config_text.h"

namespace baltoro::testing {

ConfigText::ConfigText()
    : fields_{{"model_type", "\"deepseek_v3\""},
              {"vocab_size", "50"},
              {"hidden_size", "16"},
              {"num_hidden_layers", "2"},
              {"num_attention_heads", "2"},
              {"num_key_value_heads", "2"},
              {"q_lora_rank", "12"},
              {"kv_lora_rank", "8"},
              {"qk_nope_head_dim", "6"},
              {"qk_rope_head_dim", "4"},
              {"v_head_dim", "5"},
              {"intermediate_size", "24"},
              {"moe_intermediate_size", "7"},
              {"n_routed_experts", "4"},
              {"num_experts_per_tok", "2"},
              {"n_shared_experts", "1"},
              {"first_k_dense_replace", "1"},
              {"moe_layer_freq", "1"},
              {"n_group", "1"},
              {"topk_group", "1"},
              {"topk_method", "\"noaux_tc\""},
              {"scoring_func", "\"sigmoid\""},
              {"norm_topk_prob", "true"},
              {"routed_scaling_factor", "2.5"},
              {"rms_norm_eps", "1e-6"},
              {"rope_theta", "10000.0"},
              {"rope_scaling", R"({"type": "yarn", "factor": 4.0, "mscale": 1.0,
                  "mscale_all_dim": 1.0, "original_max_position_embeddings": 64})"},
              {"max_position_embeddings", "256"},
              {"hidden_act", "\"silu\""},
              {"attention_bias", "false"},
              {"tie_word_embeddings", "false"},
              {"bos_token_id", "0"},
              {"eos_token_id", "1"}} {}

ConfigText& ConfigText::set(const std::string& field, const std::string& json) {
    fields_[field] = json;
    return *this;
}

ConfigText& ConfigText::drop(const std::string& field) {
    fields_.erase(field);
    return *this;
}

std::string ConfigText::text() const {
    std::string result;
    for (const auto& [field, json] : fields_) {
        result += (result.empty() ? "{\"" : ", \"") + field + "\": " + json;
    }
    return result + "}";
}

}  // namespace baltoro::testing
