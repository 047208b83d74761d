#include "model/tensor_names.h"

#include <map>
#include <string>

#include <doctest/doctest.h>

#include "model/config.h"
#include "tests/model/config_text.h"

using namespace baltoro;
using namespace baltoro::testing;

namespace {

ModelConfig small_config() {
    return parse_model_config(ConfigText().text(), "", "config.json");
}

std::map<std::string, ExpectedTensor> expected_by_name(const ModelConfig& config) {
    std::map<std::string, ExpectedTensor> tensors;
    for_each_expected_tensor(config, [&](const ExpectedTensor& tensor) {
        CHECK(tensors.emplace(tensor.name, tensor).second);
    });
    return tensors;
}

using Shape = std::vector<std::int64_t>;

}  // namespace

TEST_CASE("every tensor of a small model is expected with its shape and part") {
    const auto tensors = expected_by_name(small_config());
    // 3 outside the layers; 2 x (2 norms, 2 latent norms, 5 projections); dense 3; router 2,
    // 4 experts and a shared one of 3 matrices each.
    CHECK(tensors.size() == 3 + 2 * 9 + 3 + 2 + 5 * 3);
    CHECK(tensors.at("model.embed_tokens.weight").shape == Shape{50, 16});
    CHECK(tensors.at("model.layers.1.self_attn.q_a_proj.weight").shape == Shape{12, 16});
    CHECK(tensors.at("model.layers.1.self_attn.q_b_proj.weight").shape == Shape{20, 12});
    CHECK(tensors.at("model.layers.1.self_attn.kv_a_proj_with_mqa.weight").shape == Shape{12, 16});
    CHECK(tensors.at("model.layers.1.self_attn.kv_b_proj.weight").shape == Shape{22, 8});
    CHECK(tensors.at("model.layers.1.self_attn.o_proj.weight").shape == Shape{16, 10});
    CHECK(tensors.at("model.layers.0.mlp.gate_proj.weight").shape == Shape{24, 16});
    CHECK(tensors.at("model.layers.0.mlp.gate_proj.weight").part == Part::dense);
    CHECK(tensors.at("model.layers.1.mlp.experts.3.down_proj.weight").shape == Shape{16, 7});
    CHECK(tensors.at("model.layers.1.mlp.experts.3.down_proj.weight").part == Part::experts);
    CHECK(tensors.at("model.layers.1.mlp.shared_experts.up_proj.weight").part == Part::shared);
    CHECK(tensors.at("model.layers.1.mlp.gate.e_score_correction_bias").shape == Shape{4});
    CHECK(!tensors.at("lm_head.weight").is_optional);
}

TEST_CASE("without q_lora_rank there is one query projection") {
    ModelConfig config = small_config();
    config.q_lora_rank = 0;
    const auto tensors = expected_by_name(config);
    CHECK(tensors.at("model.layers.0.self_attn.q_proj.weight").shape == Shape{20, 16});
    CHECK(!tensors.contains("model.layers.0.self_attn.q_a_proj.weight"));
    CHECK(!tensors.contains("model.layers.0.self_attn.q_a_layernorm.weight"));
}

TEST_CASE("tied embeddings make the head optional") {
    ModelConfig config = small_config();
    config.tie_word_embeddings = true;
    CHECK(expected_by_name(config).at("lm_head.weight").is_optional);
}

TEST_CASE("scales have one value per block of 128 x 128, ragged blocks included") {
    const ExpectedTensor scale = scale_of(
        {.name = "x.weight", .shape = {576, 7168}, .accepted = {}, .part = Part::attention});
    CHECK(scale.name == "x.weight_scale_inv");
    CHECK(scale.shape == Shape{5, 56});
}

TEST_CASE("what published checkpoints hold besides the text model is recognised") {
    const ModelConfig config = small_config();  // two layers
    const auto kind = [&](std::string_view name) { return ignored_kind(config, name); };
    CHECK(kind("model.layers.0.self_attn.rotary_emb.inv_freq") == IgnoredKind::rotary_frequencies);
    CHECK(kind("model.layers.2.eh_proj.weight") == IgnoredKind::layers_past_the_last);
    CHECK(kind("model.layers.61.mlp.gate.weight") == IgnoredKind::layers_past_the_last);
    CHECK(kind("vision_tower.encoder.w") == IgnoredKind::vision);
    CHECK(kind("mm_projector.linear_1.weight") == IgnoredKind::vision);
    for (const std::string_view name :
         {"model.layers.1.mlp.gate.weight", "model.layers.2", "model.layers.2x.weight",
          "model.layers.-1.weight", "model.layers..weight", "model.layers.99999999999.weight",
          "lm_head.weight", "inv_freq", "vision_tower", ""}) {
        CAPTURE(name);
        CHECK(kind(name) == IgnoredKind::none);
    }
}
