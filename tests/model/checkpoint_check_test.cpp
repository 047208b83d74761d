#include "model/checkpoint_check.h"

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "base/error.h"
#include "tests/model/checkpoint_fixture.h"
#include "tests/model/config_text.h"
#include "tests/weights/temporary_checkpoint.h"

using namespace baltoro;
using namespace baltoro::testing;

namespace {

using Tensors = std::map<std::string, DTypeAndShape>;

ModelConfig small_config(bool fp8_blocks) {
    ModelConfig config = parse_model_config(ConfigText().text(), "", "config.json");
    config.fp8_blocks = fp8_blocks;
    return config;
}

struct BadTensor {
    std::string name;
    std::function<void(Tensors&)> damage;
    std::vector<std::string> parts;
};

const std::string kLayer = "model.layers.1.";
const std::string kExpert = kLayer + "mlp.experts.3.down_proj.weight";
const std::string kScale = kExpert + "_scale_inv";

std::function<void(Tensors&)> without(const std::string& name) {
    return [name](Tensors& tensors) { REQUIRE(tensors.erase(name) == 1); };
}

std::function<void(Tensors&)> with(const std::string& name,
                                   DType dtype,
                                   const std::vector<std::int64_t>& shape) {
    return [=](Tensors& tensors) { tensors.at(name) = {dtype, shape}; };
}

// clang-format off
std::vector<BadTensor> bad_tensors() {
    return {
        {"embeddings missing", without("model.embed_tokens.weight"), {"tensor model.embed_tokens.weight is missing"}},
        {"final norm missing", without("model.norm.weight"), {"tensor model.norm.weight is missing"}},
        {"head missing and not tied", without("lm_head.weight"), {"tensor lm_head.weight is missing"}},
        {"norm of a layer missing", without(kLayer + "input_layernorm.weight"), {kLayer + "input_layernorm.weight is missing"}},
        {"latent norm missing", without(kLayer + "self_attn.kv_a_layernorm.weight"), {"kv_a_layernorm.weight is missing"}},
        {"router missing", without(kLayer + "mlp.gate.weight"), {"mlp.gate.weight is missing"}},
        {"router bias missing", without(kLayer + "mlp.gate.e_score_correction_bias"), {"e_score_correction_bias is missing"}},
        {"one expert's matrix missing", without(kExpert), {"tensor " + kExpert + " is missing"}},
        {"one expert's scale missing", without(kScale), {"tensor " + kScale + " is missing"}},
        {"shared expert missing", without(kLayer + "mlp.shared_experts.up_proj.weight"), {"shared_experts.up_proj.weight is missing"}},
        {"dense layer missing", without("model.layers.0.mlp.up_proj.weight"), {"layers.0.mlp.up_proj.weight is missing"}},
        {"weight transposed", with(kExpert, DType::f8_e4m3, {7, 16}), {"model.safetensors", kExpert, "expected BF16 or F8_E4M3 [16, 7]", "found F8_E4M3 [7, 16]"}},
        {"weight with one dimension more", with(kExpert, DType::f8_e4m3, {16, 7, 1}), {kExpert, "found F8_E4M3 [16, 7, 1]"}},
        {"weight flat", with(kExpert, DType::f8_e4m3, {112}), {kExpert, "found F8_E4M3 [112]"}},
        {"weight empty", with(kExpert, DType::f8_e4m3, {0, 7}), {kExpert, "found F8_E4M3 [0, 7]"}},
        {"weight of 16-bit floats", with(kExpert, DType::f16, {16, 7}), {kExpert, "found F16 [16, 7]"}},
        {"weight of the other fp8", with(kExpert, DType::f8_e5m2, {16, 7}), {kExpert, "found F8_E5M2 [16, 7]"}},
        {"weight of packed int4", with(kExpert, DType::i32, {16, 1}), {kExpert, "found I32 [16, 1]"}},
        {"scale of 16-bit floats", with(kScale, DType::bf16, {1, 1}), {kScale, "expected F32 [1, 1]", "found BF16 [1, 1]"}},
        {"scale per row", with(kScale, DType::f32, {16, 1}), {kScale, "expected F32 [1, 1]", "found F32 [16, 1]"}},
        {"scale without dimensions", with(kScale, DType::f32, {}), {kScale, "found F32 []"}},
        {"norm in fp8", with("model.norm.weight", DType::f8_e4m3, {16}), {"tensor model.norm.weight", "expected BF16 [16]", "found F8_E4M3 [16]"}},
        {"norm too short", with("model.norm.weight", DType::bf16, {15}), {"tensor model.norm.weight", "found BF16 [15]"}},
        {"embeddings of another vocabulary", with("model.embed_tokens.weight", DType::bf16, {51, 16}), {"model.embed_tokens.weight", "expected BF16 [50, 16]", "found BF16 [51, 16]"}},
        {"router of more experts", with(kLayer + "mlp.gate.weight", DType::bf16, {5, 16}), {"mlp.gate.weight", "expected BF16 or F32 [4, 16]", "found BF16 [5, 16]"}},
        {"router bias in 64 bits", with(kLayer + "mlp.gate.e_score_correction_bias", DType::f64, {4}), {"e_score_correction_bias", "found F64 [4]"}},
    };
}
// clang-format on

}  // namespace

TEST_CASE("complete checkpoints pass, fp8 and bf16") {
    for (const bool fp8_blocks : {false, true}) {
        CAPTURE(fp8_blocks);
        const TemporaryDirectory directory;
        const ModelConfig config = small_config(fp8_blocks);
        write_tensors(directory.path.string(), complete_tensors(config));
        const Checkpoint checkpoint(directory.path.string());
        require_complete(config, checkpoint);
        const CheckpointReport report = compare_with_config(config, checkpoint);
        CHECK(report.is_complete());
        CHECK(report.unexpected.count == 0);
        const TensorTotals experts = report.part_totals(Part::experts);
        CHECK(experts.n_weights == 4 * 3 * 7 * 16);
        CHECK(experts.n_bytes == (fp8_blocks ? experts.n_weights + 12 * 4 : 2 * experts.n_weights));
    }
}

TEST_CASE("tensors that are missing, or wrong in dtype or shape, are refused by name") {
    const ModelConfig config = small_config(true);
    for (const BadTensor& bad : bad_tensors()) {
        const TemporaryDirectory directory;
        Tensors tensors = complete_tensors(config);
        bad.damage(tensors);
        write_tensors(directory.path.string(), tensors);
        std::vector<std::string> parts = bad.parts;
        parts.push_back(directory.path.string());
        check_refused(bad.name, parts,
                      [&] { require_complete(config, Checkpoint(directory.path.string())); });
        const CheckpointReport report =
            compare_with_config(config, Checkpoint(directory.path.string()));
        CHECK(report.missing.count + report.wrong.count == 1);
    }
}

TEST_CASE("in an fp8 checkpoint a matrix may be bf16 and then has no scale") {
    const TemporaryDirectory directory;
    const ModelConfig config = small_config(true);
    Tensors tensors = complete_tensors(config);
    tensors.at(kExpert).dtype = DType::bf16;
    tensors.erase(kScale);
    tensors.at(kLayer + "mlp.gate.e_score_correction_bias").dtype = DType::f32;
    tensors.at(kLayer + "mlp.gate.weight").dtype = DType::f32;
    write_tensors(directory.path.string(), tensors);
    require_complete(config, Checkpoint(directory.path.string()));
}

TEST_CASE("fp8 weights need a configuration that says so") {
    const TemporaryDirectory directory;
    write_tensors(directory.path.string(), complete_tensors(small_config(true)));
    check_refused(
        "fp8 without quantization_config", {"q_a_proj.weight", "quantization_config"},
        [&] { require_complete(small_config(false), Checkpoint(directory.path.string())); });
}

TEST_CASE("int4 checkpoints are refused by name of the method") {
    const TemporaryDirectory directory;
    ModelConfig config = parse_model_config(
        ConfigText().set("quantization_config", R"({"quant_method": "compressed-tensors"})").text(),
        "", "config.json");
    CHECK(config.int4_groups);
    write_tensors(directory.path.string(), complete_tensors(config));
    check_refused("int4", {"config.json", "quantization_config.quant_method", "not supported yet"},
                  [&] { require_complete(config, Checkpoint(directory.path.string())); });
}

TEST_CASE("tied embeddings need no head") {
    const TemporaryDirectory directory;
    ModelConfig config = small_config(false);
    config.tie_word_embeddings = true;
    Tensors tensors = complete_tensors(config);
    tensors.erase("lm_head.weight");
    write_tensors(directory.path.string(), tensors);
    require_complete(config, Checkpoint(directory.path.string()));
}

TEST_CASE("tensors that are not of the text model are counted by kind, others are unexpected") {
    const TemporaryDirectory directory;
    const ModelConfig config = small_config(false);
    Tensors tensors = complete_tensors(config);
    tensors["model.layers.0.self_attn.rotary_emb.inv_freq"] = {DType::bf16, {2}};
    tensors["model.layers.1.self_attn.rotary_emb.inv_freq"] = {DType::bf16, {2}};
    tensors["model.layers.2.eh_proj.weight"] = {DType::bf16, {3, 3}};
    tensors["vision_tower.x"] = {DType::f64, {5}};
    tensors["model.layers.1.mlp.experts.4.up_proj.weight"] = {DType::bf16, {7, 16}};
    write_tensors(directory.path.string(), tensors);
    const Checkpoint checkpoint(directory.path.string());
    require_complete(config, checkpoint);
    const CheckpointReport report = compare_with_config(config, checkpoint);
    CHECK(report.ignored[1].n_tensors == 2);
    CHECK(report.ignored[1].n_bytes == 8);
    CHECK(report.ignored[2].n_tensors == 1);
    CHECK(report.ignored[3].n_bytes == 40);
    CHECK(report.unexpected.first ==
          std::vector<std::string>{"model.layers.1.mlp.experts.4.up_proj.weight"});
}

TEST_CASE("a configuration that asks for 32,768 experts is compared quickly") {
    const TemporaryDirectory directory;
    write_tensors(directory.path.string(), complete_tensors(small_config(false)));
    ModelConfig config = small_config(false);
    config.num_hidden_layers = 64;
    config.n_routed_experts = 512;
    check_refused("many experts", {"is missing", "model.safetensors", "[512, 16]"}, [&] {
        const Checkpoint checkpoint(directory.path.string());
        const CheckpointReport report = compare_with_config(config, checkpoint);
        CHECK(report.missing.first.size() == 100);
        CHECK(report.missing.count > 90'000);
        throw Error(report.missing.first[0] + " is missing; " + report.wrong.first[0]);
    });
}

TEST_CASE("the oracle checkpoints are complete") {
    for (const std::string name : {"k2-tiny", "moonlight-tiny"}) {
        CAPTURE(name);
        const std::string directory = std::string(BALTORO_GOLDEN_DIR) + "/oracle/" + name;
        if (!std::filesystem::exists(directory)) {
            MESSAGE("skipped: no " << directory);
            return;
        }
        const ModelConfig config = read_model_config(directory);
        const Checkpoint checkpoint(directory);
        require_complete(config, checkpoint);
        CHECK(compare_with_config(config, checkpoint).unexpected.count == 0);
    }
}
