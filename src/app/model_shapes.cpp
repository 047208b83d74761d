#include "app/model_shapes.h"

#include <iterator>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/error.h"

namespace baltoro {
namespace {

constexpr int kMaxLayers = 1000;
constexpr int kMaxExperts = 10000;

// What sets the shapes apart.
struct ModelShape {
    std::string_view name;
    int hidden_size;
    int num_hidden_layers;
    int num_attention_heads;
    int q_lora_rank;
    int kv_lora_rank;
    int qk_nope_head_dim;
    int qk_rope_head_dim;
    int v_head_dim;
    int intermediate_size;
    int moe_intermediate_size;
    int n_routed_experts;
    int num_experts_per_tok;
    int vocab_size;
    int max_position_embeddings;
    int original_max_position_embeddings;
};

// clang-format off
constexpr ModelShape kShapes[] = {
    // Every dimension but the head's leaves a ragged scale block.
    {"k2-tiny",   320,  3,  4,  144,  96,  48, 32,  40,   448,  160,  12, 4,   1024,   2048,   64},
    {"k2-mini",  2048,  8, 16,  512, 512, 128, 64, 128,  5632, 1024,  64, 8,  32768, 131072, 4096},
    {"k2-layer", 7168,  2, 64, 1536, 512, 128, 64, 128, 18432, 2048,  64, 8, 163840, 131072, 4096},
    {"k2",       7168, 61, 64, 1536, 512, 128, 64, 128, 18432, 2048, 384, 8, 163840, 131072, 4096},
};
// clang-format on

const ModelShape& find_shape(std::string_view name) {
    std::string known;
    for (const ModelShape& shape : kShapes) {
        if (shape.name == name) return shape;
        known += (known.empty() ? "" : ", ") + std::string(shape.name);
    }
    throw Error(fmt::format("--shape {}: unknown; the shapes are {}", name, known));
}

int replaced(const char* option, int wanted, int own, int least, int most) {
    if (wanted == 0) return own;
    if (wanted >= least && wanted <= most) return wanted;
    throw Error(fmt::format("{} {}: expected {} to {}", option, wanted, least, most));
}

void add_dimensions(nlohmann::json& config, const ModelShape& shape) {
    config["hidden_size"] = shape.hidden_size;
    config["num_attention_heads"] = shape.num_attention_heads;
    config["num_key_value_heads"] = shape.num_attention_heads;
    config["q_lora_rank"] = shape.q_lora_rank;
    config["kv_lora_rank"] = shape.kv_lora_rank;
    config["qk_nope_head_dim"] = shape.qk_nope_head_dim;
    config["qk_rope_head_dim"] = shape.qk_rope_head_dim;
    config["v_head_dim"] = shape.v_head_dim;
    config["intermediate_size"] = shape.intermediate_size;
    config["moe_intermediate_size"] = shape.moe_intermediate_size;
    config["num_experts_per_tok"] = shape.num_experts_per_tok;
    config["vocab_size"] = shape.vocab_size;
    config["max_position_embeddings"] = shape.max_position_embeddings;
    config["rope_scaling"]["original_max_position_embeddings"] =
        shape.original_max_position_embeddings;
    config["bos_token_id"] = shape.vocab_size - kReservedTokens;
    config["eos_token_id"] = shape.vocab_size - kReservedTokens + 1;
}

// The fields in which all shapes equal Kimi-K2-Instruct.
constexpr std::string_view kCommonFields = R"({
  "architectures": ["DeepseekV3ForCausalLM"],
  "attention_bias": false,
  "attention_dropout": 0.0,
  "auto_map": {
    "AutoConfig": "configuration_deepseek.DeepseekV3Config",
    "AutoModel": "modeling_deepseek.DeepseekV3Model",
    "AutoModelForCausalLM": "modeling_deepseek.DeepseekV3ForCausalLM"
  },
  "aux_loss_alpha": 0.001,
  "first_k_dense_replace": 1,
  "hidden_act": "silu",
  "initializer_range": 0.02,
  "model_type": "kimi_k2",
  "moe_layer_freq": 1,
  "n_group": 1,
  "n_shared_experts": 1,
  "norm_topk_prob": true,
  "num_nextn_predict_layers": 0,
  "pretraining_tp": 1,
  "quantization_config": {
    "activation_scheme": "dynamic",
    "fmt": "e4m3",
    "quant_method": "fp8",
    "weight_block_size": [128, 128]
  },
  "rms_norm_eps": 1e-06,
  "rope_scaling": {
    "beta_fast": 1.0,
    "beta_slow": 1.0,
    "factor": 32.0,
    "mscale": 1.0,
    "mscale_all_dim": 1.0,
    "type": "yarn"
  },
  "rope_theta": 50000.0,
  "routed_scaling_factor": 2.827,
  "scoring_func": "sigmoid",
  "seq_aux": true,
  "tie_word_embeddings": false,
  "topk_group": 1,
  "topk_method": "noaux_tc",
  "torch_dtype": "bfloat16",
  "transformers_version": "4.48.3",
  "use_cache": true
})";

}  // namespace

std::string shape_config_json(std::string_view shape_name, int layers, int experts) {
    const ModelShape& shape = find_shape(shape_name);
    nlohmann::json config = nlohmann::json::parse(kCommonFields);
    add_dimensions(config, shape);
    config["num_hidden_layers"] =
        replaced("--layers", layers, shape.num_hidden_layers, 1, kMaxLayers);
    config["n_routed_experts"] = replaced("--experts", experts, shape.n_routed_experts,
                                          shape.num_experts_per_tok, kMaxExperts);
    return config.dump(2) + "\n";
}

}  // namespace baltoro
