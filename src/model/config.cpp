#include "model/config.h"

#include <algorithm>
#include <filesystem>
#include <string_view>

#include <fmt/format.h>

#include "base/error.h"
#include "base/mapped_file.h"
#include "model/config_fields.h"

namespace baltoro {
namespace {

// Far above every model of the family, and low enough that products of two fit an int and
// products of three an int64.
constexpr int kMaxVocab = 1 << 22;
constexpr int kMaxWidth = 1 << 16;  // hidden_size, lora ranks
constexpr int kMaxFfn = 1 << 20;    // intermediate sizes
constexpr int kMaxLayers = 1024;
constexpr int kMaxHeads = 1024;
constexpr int kMaxHeadDim = 4096;
constexpr int kMaxExperts = 1 << 14;
constexpr int kMaxAllExperts = 1 << 20;  // of all layers
constexpr int kMaxSharedExperts = 64;
constexpr int kMaxPositions = 1 << 24;

constexpr std::size_t kMaxFileBytes = 1 << 20;

constexpr int kKimiVocab = 163840;
constexpr int kKimiEndTokens[] = {163585, 163586};  // [EOS] and <|im_end|>

void read_sizes(const ConfigFields& fields, ModelConfig& config) {
    config.vocab_size = fields.integer("vocab_size", 1, kMaxVocab);
    config.hidden_size = fields.integer("hidden_size", 1, kMaxWidth);
    config.num_hidden_layers = fields.integer("num_hidden_layers", 1, kMaxLayers);
    config.intermediate_size = fields.integer("intermediate_size", 1, kMaxFfn);
    config.max_position_embeddings = fields.integer("max_position_embeddings", 1, kMaxPositions);
    config.rms_norm_eps = fields.number("rms_norm_eps", 1e-12, 0.1);
    config.rope_theta = fields.number("rope_theta", 1.001, 1e12);
}

void read_attention(const ConfigFields& fields, ModelConfig& config) {
    config.num_attention_heads = fields.integer("num_attention_heads", 1, kMaxHeads);
    if (fields.integer_or("num_key_value_heads", config.num_attention_heads, 1, kMaxHeads) !=
        config.num_attention_heads) {
        fields.fail("num_key_value_heads", fmt::format("num_attention_heads ({}): every head has "
                                                       "its own keys in latent attention",
                                                       config.num_attention_heads));
    }
    config.q_lora_rank = fields.integer_or("q_lora_rank", 0, 1, kMaxWidth);
    config.kv_lora_rank = fields.integer("kv_lora_rank", 1, kMaxWidth);
    config.qk_nope_head_dim = fields.integer("qk_nope_head_dim", 1, kMaxHeadDim);
    config.qk_rope_head_dim = fields.integer("qk_rope_head_dim", 2, kMaxHeadDim);
    config.v_head_dim = fields.integer("v_head_dim", 1, kMaxHeadDim);
    if (config.qk_rope_head_dim % 2 != 0)
        fields.fail("qk_rope_head_dim", "an even number: dimensions are rotated in pairs");
    if (fields.boolean_or("attention_bias", false)) fields.fail("attention_bias", "false");
    if (!fields.boolean_or("rope_interleave", true)) fields.fail("rope_interleave", "true");
    fields.require_text("hidden_act", "silu");
}

void read_expert_groups(const ConfigFields& fields, ModelConfig& config) {
    const int n_experts = config.n_routed_experts;
    config.n_group = fields.integer_or("n_group", 1, 1, n_experts);
    if (n_experts % config.n_group != 0) {
        fields.fail("n_group", fmt::format("a divisor of n_routed_experts ({})", n_experts));
    }
    if (config.n_group > 1 && n_experts / config.n_group < 2)
        fields.fail("n_group", "groups of two experts or more: a group is ranked by its best two");
    config.topk_group = fields.integer_or("topk_group", 1, 1, config.n_group);
    const int n_eligible = n_experts / config.n_group * config.topk_group;
    config.num_experts_per_tok = fields.integer("num_experts_per_tok", 1, kMaxExperts);
    if (config.num_experts_per_tok > n_experts) {
        fields.fail("num_experts_per_tok",
                    fmt::format("an integer from 1 to n_routed_experts ({})", n_experts));
    }
    if (config.num_experts_per_tok > n_eligible) {
        fields.fail("num_experts_per_tok", fmt::format("at most the {} experts that topk_group "
                                                       "groups of n_group hold",
                                                       n_eligible));
    }
}

void read_experts(const ConfigFields& fields, ModelConfig& config) {
    config.first_k_dense_replace =
        fields.integer_or("first_k_dense_replace", 0, 0, config.num_hidden_layers);
    // 0 says "no layer is skipped", which is a frequency of 1 here.
    config.moe_layer_freq = std::max(1, fields.integer_or("moe_layer_freq", 1, 0, kMaxLayers));
    config.n_routed_experts = fields.integer_or("n_routed_experts", 0, 0, kMaxExperts);
    fields.require_text("topk_method", "noaux_tc");
    fields.require_text("scoring_func", "sigmoid");
    if (config.n_routed_experts == 0) return;
    if (config.n_routed_experts * config.num_hidden_layers > kMaxAllExperts) {
        fields.fail("n_routed_experts",
                    fmt::format("at most {} experts in all layers", kMaxAllExperts));
    }
    read_expert_groups(fields, config);
    config.moe_intermediate_size = fields.integer("moe_intermediate_size", 1, kMaxFfn);
    config.n_shared_experts = fields.integer_or("n_shared_experts", 0, 0, kMaxSharedExperts);
    config.norm_topk_prob = fields.boolean_or("norm_topk_prob", true);
    config.routed_scaling_factor = fields.number("routed_scaling_factor", 1e-6, 1e6);
}

void require_one_type(const ConfigFields& scaling) {
    if (!scaling.has("type") && !scaling.has("rope_type")) scaling.fail("type", "\"yarn\"");
    scaling.require_text("type", "yarn");
    scaling.require_text("rope_type", "yarn");
}

void read_rope_scaling(const ConfigFields& fields, ModelConfig& config) {
    const std::optional<ConfigFields> scaling = fields.object("rope_scaling");
    if (!scaling) return;
    require_one_type(*scaling);
    YarnConfig& yarn = config.yarn.emplace();
    yarn.factor = scaling->number("factor", 1.0, 1e6);
    yarn.original_max_position_embeddings =
        scaling->integer("original_max_position_embeddings", 1, kMaxPositions);
    yarn.beta_fast = scaling->number_or("beta_fast", yarn.beta_fast, 1e-3, 1e6);
    yarn.beta_slow = scaling->number_or("beta_slow", yarn.beta_slow, 1e-3, 1e6);
    if (yarn.beta_fast < yarn.beta_slow) {
        scaling->fail("beta_fast", fmt::format("at least beta_slow ({})", yarn.beta_slow));
    }
    yarn.mscale = scaling->number_or("mscale", yarn.mscale, 0, 100);
    yarn.mscale_all_dim = scaling->number_or("mscale_all_dim", yarn.mscale_all_dim, 0, 100);
    // Otherwise cosine and sine would have to be multiplied by the ratio of the two.
    if (yarn.factor > 1 && yarn.mscale != yarn.mscale_all_dim) {
        scaling->fail("mscale_all_dim", fmt::format("the value of mscale ({})", yarn.mscale));
    }
}

void read_fp8_blocks(const ConfigFields& quantization) {
    quantization.require_text("fmt", "e4m3");
    const std::vector<int> block = quantization.integers("weight_block_size", 1, kMaxWidth);
    if (block != std::vector<int>{128, 128}) quantization.fail("weight_block_size", "[128, 128]");
}

void read_quantization(const ConfigFields& fields, ModelConfig& config) {
    const std::optional<ConfigFields> quantization = fields.object("quantization_config");
    if (!quantization) return;
    const std::string method = quantization->text("quant_method");
    config.fp8_blocks = method == "fp8";
    config.int4_groups = method == "compressed-tensors";
    if (config.fp8_blocks) return read_fp8_blocks(*quantization);
    if (config.int4_groups) return;
    quantization->fail("quant_method",
                       "\"fp8\" with weight_block_size [128, 128] (or no quantization_config for "
                       "bf16 weights)");
}

void add_unique(std::vector<int>& ids, const std::vector<int>& more) {
    for (const int id : more) {
        if (std::ranges::find(ids, id) == ids.end()) ids.push_back(id);
    }
}

void read_special_tokens(const ConfigFields& fields, ModelConfig& config) {
    add_unique(config.eos_token_ids, fields.integers("eos_token_id", 0, config.vocab_size - 1));
    if (fields.has("bos_token_id"))
        config.bos_token_id = fields.integer("bos_token_id", 0, config.vocab_size - 1);
}

void read_generation_config(const std::string& text, const std::string& file, ModelConfig& config) {
    const ConfigValues values = parse_config_values(text, file);
    const ConfigFields fields(values, file, "");
    add_unique(config.eos_token_ids, fields.integers("eos_token_id", 0, config.vocab_size - 1));
    if (fields.has("temperature")) config.temperature = fields.number("temperature", 0, 100);
    if (fields.has("top_p")) config.top_p = fields.number("top_p", 1e-6, 1);
    if (fields.has("top_k")) config.top_k = fields.integer("top_k", 0, kMaxVocab);
}

std::string read_model_type(const ConfigFields& outer, const ConfigFields& fields) {
    const ConfigFields& holder = fields.has("model_type") ? fields : outer;
    const std::string type = holder.text("model_type");
    if (type == "kimi_k2" || type == "kimi_k25" || type == "deepseek_v3") return type;
    holder.fail("model_type", "\"kimi_k2\", \"kimi_k25\" or \"deepseek_v3\"");
}

std::string generation_file_beside(const std::string& source) {
    return (std::filesystem::path(source).parent_path() / "generation_config.json").string();
}

}  // namespace

ModelConfig parse_model_config(const std::string& config_json,
                               const std::string& generation_json,
                               const std::string& source) {
    const ConfigValues values = parse_config_values(config_json, source);
    const ConfigFields outer(values, source, "");
    const ConfigFields fields = outer.object("text_config").value_or(outer);
    ModelConfig config;
    config.model_type = read_model_type(outer, fields);
    read_sizes(fields, config);
    read_attention(fields, config);
    read_experts(fields, config);
    read_rope_scaling(fields, config);
    read_quantization(fields.has("quantization_config") ? fields : outer, config);
    config.tie_word_embeddings =
        fields.boolean_or("tie_word_embeddings", outer.boolean_or("tie_word_embeddings", false));
    read_special_tokens(fields, config);
    if (!generation_json.empty())
        read_generation_config(generation_json, generation_file_beside(source), config);
    const bool is_kimi = config.model_type.starts_with("kimi") || config.vocab_size == kKimiVocab;
    for (const int id : kKimiEndTokens) {
        if (is_kimi && id < config.vocab_size) add_unique(config.eos_token_ids, {id});
    }
    return config;
}

ModelConfig read_model_config(const std::string& directory) {
    const std::string path = directory + "/config.json";
    const std::string generation_path = directory + "/generation_config.json";
    std::error_code ignored;
    std::string generation_json;
    if (std::filesystem::exists(std::filesystem::symlink_status(generation_path, ignored))) {
        generation_json = read_small_file(generation_path, kMaxFileBytes);
        if (generation_json.empty()) throw Error(generation_path + ": is empty");
    }
    return parse_model_config(read_small_file(path, kMaxFileBytes), generation_json, path);
}

}  // namespace baltoro
