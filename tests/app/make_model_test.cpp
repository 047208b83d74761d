#include "app/make_model.h"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>
#include <string>

#include <doctest/doctest.h>
#include <fmt/format.h>

#include "app/model_shapes.h"
#include "app/tokenizer_files.h"
#include "base/error.h"
#include "base/float_formats.h"
#include "model/checkpoint_check.h"
#include "model/config.h"
#include "weights/checkpoint.h"

using namespace baltoro;

namespace {

namespace fs = std::filesystem;

// A directory that goes away with its contents.
class TemporaryDirectory {
  public:
    TemporaryDirectory() {
        std::string path = (fs::temp_directory_path() / "make_model_XXXXXX").string();
        REQUIRE(mkdtemp(path.data()) != nullptr);
        path_ = path;
    }
    ~TemporaryDirectory() {
        std::error_code ignored;
        fs::remove_all(path_, ignored);
    }
    TemporaryDirectory(const TemporaryDirectory&) = delete;
    TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;

    std::string operator/(const char* name) const { return (path_ / name).string(); }

  private:
    fs::path path_;
};

MakeModelCommand tiny(const std::string& out_dir) {
    MakeModelCommand command;
    command.shape = "k2-tiny";
    command.out_dir = out_dir;
    return command;
}

std::string content_of(const fs::path& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}

// Names of the files that differ or are in one directory only.
std::set<std::string> differing_files(const std::string& a, const std::string& b) {
    std::set<std::string> names;
    for (const std::string& directory : {a, b}) {
        for (const auto& entry : fs::directory_iterator(directory)) {
            const std::string name = entry.path().filename().string();
            if (content_of(fs::path(a) / name) != content_of(fs::path(b) / name))
                names.insert(name);
        }
    }
    return names;
}

double deviation_of_fp8(const Checkpoint& checkpoint, const std::string& name) {
    const TensorView& codes = *checkpoint.find(name);
    const TensorView& scales = *checkpoint.find(name + "_scale_inv");
    const std::int64_t k = codes.shape[1];
    double sum = 0;
    for (std::int64_t i = 0; i < codes.shape[0] * k; ++i) {
        const float scale = scales.as<float>()[i / k / 128 * scales.shape[1] + i % k / 128];
        const double value = static_cast<double>(float_from_e4m3(codes.as<e4m3_t>()[i]) * scale);
        REQUIRE(std::isfinite(value));
        sum += value * value;
    }
    return std::sqrt(sum / static_cast<double>(codes.shape[0] * k));
}

}  // namespace

TEST_CASE("a made model is complete and holds nothing unexpected") {
    const TemporaryDirectory directory;
    const std::string out = directory / "model";
    const MadeModel made = make_model(tiny(out));
    const ModelConfig config = read_model_config(out);
    const Checkpoint checkpoint(out);
    const CheckpointReport report = compare_with_config(config, checkpoint);
    CHECK(report.is_complete());
    CHECK(report.unexpected.count == 0);
    CHECK(made.n_tensors == checkpoint.tensors().size());
    CHECK(made.n_bytes == checkpoint.total_bytes());
    CHECK(made.n_shards == checkpoint.shards().size());
    CHECK(made.n_shards == 3);
}

TEST_CASE("a made model has the configuration of its shape and Kimi's end tokens") {
    const TemporaryDirectory directory;
    const std::string out = directory / "model";
    make_model(tiny(out));
    const ModelConfig config = read_model_config(out);
    CHECK(config.fp8_blocks);
    CHECK(config.vocab_size == 1024);
    CHECK(config.n_routed_experts == 12);
    REQUIRE(config.yarn.has_value());
    CHECK(config.yarn->factor == 32.0);
    CHECK(config.bos_token_id == 768);
    CHECK(config.eos_token_ids == std::vector<int>{769, 770});
    CHECK(config.temperature == 0.6);
}

TEST_CASE("a made model has the formats of Kimi-K2-Instruct") {
    const TemporaryDirectory directory;
    const std::string out = directory / "model";
    make_model(tiny(out));
    const Checkpoint checkpoint(out);
    const std::string layer = "model.layers.1.";
    CHECK(checkpoint.find("model.embed_tokens.weight")->dtype == DType::bf16);
    CHECK(checkpoint.find("lm_head.weight")->dtype == DType::bf16);
    CHECK(checkpoint.find(layer + "input_layernorm.weight")->dtype == DType::bf16);
    CHECK(checkpoint.find(layer + "mlp.gate.weight")->dtype == DType::bf16);
    CHECK(checkpoint.find(layer + "mlp.gate.e_score_correction_bias")->dtype == DType::f32);
    const std::string kv_a = layer + "self_attn.kv_a_proj_with_mqa.weight";
    CHECK(checkpoint.find(kv_a)->dtype == DType::f8_e4m3);
    checkpoint.require(kv_a + "_scale_inv", DType::f32, {1, 3});
}

TEST_CASE("weights keep the size of a normalised input") {
    const TemporaryDirectory directory;
    const std::string out = directory / "model";
    make_model(tiny(out));
    const Checkpoint checkpoint(out);
    // Jitter of the scales and one outlier channel add a few percent of variance.
    const double expected = 1 / std::sqrt(320.0);
    for (const char* name : {"mlp.experts.3.gate_proj.weight", "self_attn.q_a_proj.weight"}) {
        CAPTURE(name);
        const double found = deviation_of_fp8(checkpoint, std::string("model.layers.1.") + name);
        CHECK(found > 0.8 * expected);
        CHECK(found < 1.4 * expected);
    }
}

TEST_CASE("the bytes of a model do not depend on the number of threads") {
    const TemporaryDirectory directory;
    MakeModelCommand one = tiny(directory / "one");
    MakeModelCommand three = tiny(directory / "three");
    one.threads = 1;
    three.threads = 3;
    make_model(one);
    make_model(three);
    CHECK(differing_files(one.out_dir, three.out_dir).empty());
}

TEST_CASE("another seed changes every shard and nothing else") {
    const TemporaryDirectory directory;
    MakeModelCommand first = tiny(directory / "first");
    MakeModelCommand second = tiny(directory / "second");
    second.seed = 2;
    make_model(first);
    make_model(second);
    CHECK(differing_files(first.out_dir, second.out_dir) ==
          std::set<std::string>{"model-00001-of-00003.safetensors",
                                "model-00002-of-00003.safetensors",
                                "model-00003-of-00003.safetensors"});
}

TEST_CASE("layers and experts replace the shape's own") {
    const TemporaryDirectory directory;
    MakeModelCommand command = tiny(directory / "model");
    command.layers = 2;
    command.experts = 5;
    make_model(command);
    const ModelConfig config = read_model_config(command.out_dir);
    CHECK(config.num_hidden_layers == 2);
    CHECK(config.n_routed_experts == 5);
    CHECK(compare_with_config(config, Checkpoint(command.out_dir)).is_complete());
}

TEST_CASE("an unknown shape is refused with the list of shapes") {
    CHECK_THROWS_WITH_AS(shape_config_json("k3", 0, 0),
                         "--shape k3: unknown; the shapes are k2-tiny, k2-mini, k2-layer, k2",
                         Error);
}

TEST_CASE("fewer experts than a token needs are refused") {
    CHECK_THROWS_WITH_AS(shape_config_json("k2-mini", 0, 7), "--experts 7: expected 8 to 10000",
                         Error);
}

TEST_CASE("a negative number of layers is refused") {
    CHECK_THROWS_WITH_AS(shape_config_json("k2-mini", -1, 0), "--layers -1: expected 1 to 1000",
                         Error);
}

TEST_CASE("a directory that is not empty is refused and left alone") {
    const TemporaryDirectory directory;
    const MakeModelCommand command = tiny(directory / "model");
    fs::create_directory(command.out_dir);
    std::ofstream(command.out_dir + "/notes") << "mine";
    CHECK_THROWS_WITH_AS(make_model(command), doctest::Contains("is not empty"), Error);
    CHECK(content_of(command.out_dir + "/notes") == "mine");
    CHECK(std::distance(fs::directory_iterator(command.out_dir), {}) == 1);
}

TEST_CASE("a directory that cannot be created is refused") {
    const TemporaryDirectory directory;
    std::ofstream(directory / "file") << "in the way";
    CHECK_THROWS_WITH_AS(make_model(tiny(directory / "file/model")),
                         doctest::Contains("cannot create the directory"), Error);
    CHECK_THROWS_WITH_AS(make_model(tiny(directory / "file")),
                         doctest::Contains("cannot create the directory"), Error);
}

TEST_CASE("a model larger than the disk is refused with both numbers") {
    const TemporaryDirectory directory;
    MakeModelCommand command = tiny(directory / "model");
    command.shape = "k2";
    command.layers = 1000;
    command.experts = 1000;  // 44 TB of experts
    CHECK_THROWS_WITH_AS(make_model(command), doctest::Contains("GB are free"), Error);
    CHECK(fs::is_empty(command.out_dir));
}

TEST_CASE("a rank file starts with the bytes in Kimi's order and goes on with pairs") {
    const std::string text = rank_file_text(258);
    CHECK(text.starts_with("IQ== 0\nIg== 1\n"));
    CHECK(text.find("IA== 220\n") != std::string::npos);  // the space
    CHECK(text.ends_with("rQ== 255\nISE= 256\nISI= 257\n"));
}

TEST_CASE("the tokens of a rank file are distinct") {
    const std::string text = rank_file_text(70000);
    std::set<std::string> tokens;
    for (std::size_t at = 0; at < text.size(); at = text.find('\n', at) + 1)
        tokens.insert(text.substr(at, text.find(' ', at) - at));
    CHECK(tokens.size() == 70000);
}
