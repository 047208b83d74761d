#include "model/tensor_names.h"

#include <charconv>
#include <utility>

#include <fmt/format.h>

namespace baltoro {
namespace {

constexpr DType kBf16[] = {DType::bf16};
constexpr DType kBf16OrF32[] = {DType::bf16, DType::f32};
constexpr DType kF32[] = {DType::f32};
constexpr DType kBf16OrFp8[] = {DType::bf16, DType::f8_e4m3};

constexpr std::string_view kLayerPrefix = "model.layers.";

// Gives the tensors of one model to a visitor, layer by layer.
class Enumerator {
  public:
    Enumerator(const ModelConfig& config, const std::function<void(const ExpectedTensor&)>& visit)
        : c_(config), visit_(visit) {}

    void enumerate() {
        plain("model.embed_tokens.weight", {c_.vocab_size, c_.hidden_size}, kBf16,
              Part::embeddings);
        for (int layer_idx = 0; layer_idx < c_.num_hidden_layers; ++layer_idx)
            layer(layer_idx);
        plain("model.norm.weight", {c_.hidden_size}, kBf16, Part::norms);
        visit_({.name = "lm_head.weight",
                .shape = {c_.vocab_size, c_.hidden_size},
                .accepted = kBf16,
                .part = Part::head,
                .may_be_fp8 = false,
                .is_optional = c_.tie_word_embeddings});
    }

  private:
    using Shape = std::vector<std::int64_t>;

    void plain(std::string name, Shape shape, std::span<const DType> accepted, Part part) {
        visit_({.name = std::move(name),
                .shape = std::move(shape),
                .accepted = accepted,
                .part = part});
    }

    void linear(std::string name, std::int64_t n, std::int64_t k, Part part) {
        visit_({.name = std::move(name),
                .shape = {n, k},
                .accepted = kBf16OrFp8,
                .part = part,
                .may_be_fp8 = true});
    }

    void layer(int layer_idx) {
        const std::string prefix = fmt::format("{}{}.", kLayerPrefix, layer_idx);
        plain(prefix + "input_layernorm.weight", {c_.hidden_size}, kBf16, Part::norms);
        attention(prefix + "self_attn.");
        plain(prefix + "post_attention_layernorm.weight", {c_.hidden_size}, kBf16, Part::norms);
        if (c_.is_moe_layer(layer_idx)) {
            moe(prefix + "mlp.");
        } else {
            ffn(prefix + "mlp.", c_.intermediate_size, Part::dense);
        }
    }

    void attention(const std::string& prefix) {
        const std::int64_t n_heads = c_.num_attention_heads;
        const std::int64_t q_rows = n_heads * c_.qk_head_dim();
        if (c_.q_lora_rank > 0) {
            linear(prefix + "q_a_proj.weight", c_.q_lora_rank, c_.hidden_size, Part::attention);
            plain(prefix + "q_a_layernorm.weight", {c_.q_lora_rank}, kBf16, Part::norms);
            linear(prefix + "q_b_proj.weight", q_rows, c_.q_lora_rank, Part::attention);
        } else {
            linear(prefix + "q_proj.weight", q_rows, c_.hidden_size, Part::attention);
        }
        linear(prefix + "kv_a_proj_with_mqa.weight", c_.latent_dim(), c_.hidden_size,
               Part::attention);
        plain(prefix + "kv_a_layernorm.weight", {c_.kv_lora_rank}, kBf16, Part::norms);
        linear(prefix + "kv_b_proj.weight", n_heads * (c_.qk_nope_head_dim + c_.v_head_dim),
               c_.kv_lora_rank, Part::attention);
        linear(prefix + "o_proj.weight", c_.hidden_size, n_heads * c_.v_head_dim, Part::attention);
    }

    void moe(const std::string& prefix) {
        plain(prefix + "gate.weight", {c_.n_routed_experts, c_.hidden_size}, kBf16OrF32,
              Part::router);
        plain(prefix + "gate.e_score_correction_bias", {c_.n_routed_experts}, kBf16OrF32,
              Part::router);
        for (int expert_idx = 0; expert_idx < c_.n_routed_experts; ++expert_idx) {
            ffn(fmt::format("{}experts.{}.", prefix, expert_idx), c_.moe_intermediate_size,
                Part::experts);
        }
        if (c_.n_shared_experts > 0) {
            ffn(prefix + "shared_experts.",
                std::int64_t{c_.moe_intermediate_size} * c_.n_shared_experts, Part::shared);
        }
    }

    void ffn(const std::string& prefix, std::int64_t intermediate, Part part) {
        linear(prefix + "gate_proj.weight", intermediate, c_.hidden_size, part);
        linear(prefix + "up_proj.weight", intermediate, c_.hidden_size, part);
        linear(prefix + "down_proj.weight", c_.hidden_size, intermediate, part);
    }

    const ModelConfig& c_;
    const std::function<void(const ExpectedTensor&)>& visit_;
};

}  // namespace

std::string_view part_name(Part part) noexcept {
    constexpr std::string_view kNames[kNumParts] = {"embeddings", "attention", "norms", "router",
                                                    "experts",    "shared",    "dense", "head"};
    return kNames[static_cast<int>(part)];
}

void for_each_expected_tensor(const ModelConfig& config,
                              const std::function<void(const ExpectedTensor&)>& visit) {
    Enumerator(config, visit).enumerate();
}

ExpectedTensor scale_of(const ExpectedTensor& weight) {
    return {.name = weight.name + "_scale_inv",
            .shape = {(weight.shape[0] + 127) / 128, (weight.shape[1] + 127) / 128},
            .accepted = kF32,
            .part = weight.part};
}

std::string_view ignored_kind_name(IgnoredKind kind) noexcept {
    constexpr std::string_view kNames[kNumIgnoredKinds] = {
        "none", "stored rotary frequencies", "layers past num_hidden_layers (token prediction)",
        "vision tower"};
    return kNames[static_cast<int>(kind)];
}

IgnoredKind ignored_kind(const ModelConfig& config, std::string_view name) noexcept {
    for (const std::string_view prefix :
         {"vision_tower.", "mm_projector.", "multi_modal_projector."}) {
        if (name.starts_with(prefix)) return IgnoredKind::vision;
    }
    if (!name.starts_with(kLayerPrefix)) return IgnoredKind::none;
    if (name.ends_with(".rotary_emb.inv_freq")) return IgnoredKind::rotary_frequencies;
    int layer_idx = 0;
    name.remove_prefix(kLayerPrefix.size());
    const auto [end, failure] = std::from_chars(name.data(), name.data() + name.size(), layer_idx);
    const bool is_layer = failure == std::errc{} && end < name.data() + name.size() && *end == '.';
    if (is_layer && layer_idx >= config.num_hidden_layers) return IgnoredKind::layers_past_the_last;
    return IgnoredKind::none;
}

bool is_routed_expert(std::string_view name) noexcept {
    return name.find(".mlp.experts.") != std::string_view::npos;
}

}  // namespace baltoro
