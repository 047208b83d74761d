#include "model/config.h"

#include <filesystem>
#include <string>

#include <doctest/doctest.h>

#include "base/error.h"
#include "base/mapped_file.h"
#include "tests/model/config_text.h"
#include "tests/weights/temporary_checkpoint.h"

using namespace baltoro;
using namespace baltoro::testing;

namespace {

// A published configuration, or nothing where the reference data is absent.
std::optional<ModelConfig> published(const std::string& name) {
    const std::string path = std::string(BALTORO_SHARED_DIR) + "/configs/config-" + name + ".json";
    if (!std::filesystem::exists(path)) {
        MESSAGE("skipped: no " << path);
        return std::nullopt;
    }
    return parse_model_config(read_small_file(path, 1 << 20), "", path);
}

ModelConfig parse(const ConfigText& config, const std::string& generation = "") {
    return parse_model_config(config.text(), generation, "dir/config.json");
}

}  // namespace

TEST_CASE("the configuration of Kimi-K2-Instruct") {
    const std::optional<ModelConfig> config = published("Kimi-K2-Instruct");
    if (!config) return;
    CHECK(config->model_type == "kimi_k2");
    CHECK(config->vocab_size == 163840);
    CHECK(config->hidden_size == 7168);
    CHECK(config->num_hidden_layers == 61);
    CHECK(config->num_attention_heads == 64);
    CHECK(config->q_lora_rank == 1536);
    CHECK(config->qk_head_dim() == 192);
    CHECK(config->latent_dim() == 576);
    CHECK(config->n_routed_experts == 384);
    CHECK(config->num_experts_per_tok == 8);
    CHECK(!config->is_moe_layer(0));
    CHECK(config->is_moe_layer(1));
    CHECK(config->routed_scaling_factor == 2.827);
    CHECK(config->rms_norm_eps == 1e-6);
    CHECK(config->fp8_blocks);
    REQUIRE(config->yarn.has_value());
    CHECK(config->yarn->factor == 32);
    CHECK(config->yarn->beta_fast == 1);
    CHECK(config->eos_token_ids == std::vector<int>{163585, 163586});
    CHECK(config->bos_token_id == 163584);
}

TEST_CASE("the configuration of Kimi-K2.5 is read from text_config, int4 noted") {
    const std::optional<ModelConfig> config = published("Kimi-K2.5");
    if (!config) return;
    CHECK(config->model_type == "kimi_k2");
    CHECK(config->max_position_embeddings == 262144);
    CHECK(config->rms_norm_eps == 1e-5);
    REQUIRE(config->yarn.has_value());
    CHECK(config->yarn->beta_fast == 32);
    CHECK(config->int4_groups);
    CHECK(!config->fp8_blocks);
}

TEST_CASE("the configuration of Moonlight has neither q_lora_rank nor rope_scaling") {
    const std::optional<ModelConfig> config = published("Moonlight-16B-A3B-Instruct");
    if (!config) return;
    CHECK(config->q_lora_rank == 0);
    CHECK(!config->yarn.has_value());
    CHECK(!config->fp8_blocks);
    CHECK(config->n_shared_experts == 2);
    CHECK(config->eos_token_ids == std::vector<int>{163586, 163585});
}

TEST_CASE("the configurations of the oracles") {
    for (const std::string name : {"k2-tiny", "moonlight-tiny"}) {
        CAPTURE(name);
        const std::string directory = std::string(BALTORO_GOLDEN_DIR) + "/oracle/" + name;
        if (!std::filesystem::exists(directory)) {
            MESSAGE("skipped: no " << directory);
            return;
        }
        const ModelConfig config = read_model_config(directory);
        CHECK(config.num_hidden_layers == 3);
        CHECK(config.fp8_blocks == (name == "k2-tiny"));
        CHECK(config.eos_token_ids == std::vector<int>{1});  // the vocabulary ends before Kimi's
    }
}

TEST_CASE("what may be absent has the value that absence means") {
    ConfigText text;
    for (const char* field :
         {"num_key_value_heads", "n_shared_experts", "first_k_dense_replace", "moe_layer_freq",
          "n_group", "topk_group", "topk_method", "scoring_func", "norm_topk_prob", "rope_scaling",
          "hidden_act", "attention_bias", "tie_word_embeddings", "bos_token_id", "eos_token_id"}) {
        text.drop(field);
    }
    const ModelConfig config = parse(text);
    CHECK(config.n_shared_experts == 0);
    CHECK(config.is_moe_layer(0));
    CHECK(config.n_group == 1);
    CHECK(config.norm_topk_prob);
    CHECK(!config.yarn.has_value());
    CHECK(!config.tie_word_embeddings);
    CHECK(config.eos_token_ids.empty());
    CHECK(!config.bos_token_id.has_value());
}

TEST_CASE("null means absent") {
    const ModelConfig config = parse(ConfigText()
                                         .set("q_lora_rank", "null")
                                         .set("rope_scaling", "null")
                                         .set("n_shared_experts", "null")
                                         .set("quantization_config", "null")
                                         .set("bos_token_id", "null"));
    CHECK(config.q_lora_rank == 0);
    CHECK(!config.yarn.has_value());
    CHECK(config.n_shared_experts == 0);
}

TEST_CASE("a model without experts is dense") {
    ConfigText text;
    text.drop("n_routed_experts").drop("moe_intermediate_size").drop("num_experts_per_tok");
    const ModelConfig config = parse(text);
    CHECK(!config.is_moe_layer(1));
}

TEST_CASE("first_k_dense_replace and moe_layer_freq may be 0") {
    const ModelConfig config =
        parse(ConfigText().set("first_k_dense_replace", "0").set("moe_layer_freq", "0"));
    CHECK(config.is_moe_layer(0));
    CHECK(config.is_moe_layer(1));
}

TEST_CASE("moe_layer_freq leaves layers dense") {
    const ModelConfig config = parse(ConfigText()
                                         .set("num_hidden_layers", "6")
                                         .set("first_k_dense_replace", "1")
                                         .set("moe_layer_freq", "2"));
    CHECK(!config.is_moe_layer(0));
    CHECK(!config.is_moe_layer(1));
    CHECK(config.is_moe_layer(2));
    CHECK(!config.is_moe_layer(3));
    CHECK(config.is_moe_layer(4));
}

TEST_CASE("rope_scaling may name its type either way") {
    const std::string rest = R"(, "factor": 4, "original_max_position_embeddings": 64,
                                "mscale_all_dim": 1})";
    for (const std::string name : {"type", "rope_type"}) {
        CAPTURE(name);
        const ModelConfig config =
            parse(ConfigText().set("rope_scaling", "{\"" + name + "\": \"yarn\"" + rest));
        REQUIRE(config.yarn.has_value());
        CHECK(config.yarn->factor == 4);
        CHECK(config.yarn->beta_fast == 32);
    }
}

TEST_CASE("quantization_config of a multimodal checkpoint may lie in either place") {
    const std::string fp8 = R"({"quant_method": "fp8", "fmt": "e4m3",
                                "weight_block_size": [128, 128]})";
    const std::string outer = R"({"model_type": "kimi_k25", "text_config": )";
    ConfigText inner;
    CHECK(parse_model_config(outer + inner.text() + ", \"quantization_config\": " + fp8 + "}", "",
                             "c")
              .fp8_blocks);
    inner.set("quantization_config", fp8).drop("model_type");
    const ModelConfig config = parse_model_config(outer + inner.text() + "}", "", "c");
    CHECK(config.fp8_blocks);
    CHECK(config.model_type == "kimi_k25");
}

TEST_CASE("generation_config adds end tokens and defaults of sampling") {
    const ModelConfig config = parse(
        ConfigText().set("eos_token_id", "[1, 2]"),
        R"({"eos_token_id": [2, 3], "temperature": 0.6, "top_p": 0.95, "top_k": 20, "x": {}})");
    CHECK(config.eos_token_ids == std::vector<int>{1, 2, 3});
    CHECK(config.temperature == 0.6);
    CHECK(config.top_p == 0.95);
    CHECK(config.top_k == 20);
    CHECK(parse(ConfigText(), R"({"eos_token_id": 7})").eos_token_ids == std::vector<int>{1, 7});
    CHECK(!parse(ConfigText(), R"({"temperature": null})").temperature.has_value());
}

TEST_CASE("a directory is read with and without generation_config.json") {
    const TemporaryDirectory directory;
    write_text(directory.file("config.json"), ConfigText().text());
    CHECK(!read_model_config(directory.path.string()).top_k.has_value());
    write_text(directory.file("generation_config.json"), R"({"top_k": 3})");
    CHECK(read_model_config(directory.path.string()).top_k == 3);
}
