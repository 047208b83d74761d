#include <sys/stat.h>

#include <functional>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "base/error.h"
#include "model/config.h"
#include "tests/model/config_text.h"
#include "tests/weights/temporary_checkpoint.h"

using namespace baltoro;
using namespace baltoro::testing;
namespace fs = std::filesystem;

namespace {

struct BadField {
    std::string name;
    std::string field;
    std::string json;  // empty: the field is dropped
    std::vector<std::string> parts;
};

struct BadText {
    std::string name;
    std::string text;
    std::vector<std::string> parts;
};

std::string scaling(const std::string& changes) {
    return R"({"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64,
               "mscale_all_dim": 1.0)" +
           changes + "}";
}

std::string fp8(const std::string& block, const std::string& format = "\"e4m3\"") {
    return R"({"quant_method": "fp8", "fmt": )" + format + R"(, "weight_block_size": )" + block +
           "}";
}

// clang-format off
std::vector<BadField> bad_sizes() {
    return {
        {"vocab_size missing", "vocab_size", "", {"found nothing", "an integer from 1 to"}},
        {"vocab_size null", "vocab_size", "null", {"found null", "an integer from 1 to"}},
        {"vocab_size zero", "vocab_size", "0", {"found 0"}},
        {"vocab_size negative", "vocab_size", "-1", {"found -1"}},
        {"vocab_size absurd", "vocab_size", "4194305", {"found 4194305", "to 4194304"}},
        {"hidden_size missing", "hidden_size", "", {"found nothing"}},
        {"hidden_size zero", "hidden_size", "0", {"found 0"}},
        {"hidden_size negative", "hidden_size", "-7168", {"found -7168"}},
        {"hidden_size past int32", "hidden_size", "4294967312", {"found 4294967312"}},
        {"hidden_size past int64", "hidden_size", "9223372036854775808", {"an integer"}},
        {"hidden_size past uint64", "hidden_size", "18446744073709551632", {"an integer"}},
        {"hidden_size fractional", "hidden_size", "16.5", {"found 16.5"}},
        {"hidden_size written as a fraction", "hidden_size", "16.0", {"an integer"}},
        {"hidden_size a string", "hidden_size", "\"16\"", {"found \"16\""}},
        {"hidden_size true", "hidden_size", "true", {"found true"}},
        {"hidden_size a list", "hidden_size", "[16]", {"found [16]"}},
        {"hidden_size an object", "hidden_size", "{}", {"found an object"}},
        {"num_hidden_layers missing", "num_hidden_layers", "", {"found nothing"}},
        {"num_hidden_layers zero", "num_hidden_layers", "0", {"found 0"}},
        {"num_hidden_layers absurd", "num_hidden_layers", "1000000", {"found 1000000", "to 1024"}},
        {"intermediate_size zero", "intermediate_size", "0", {"found 0"}},
        {"intermediate_size absurd", "intermediate_size", "2147483647", {"found 2147483647"}},
        {"max_position_embeddings missing", "max_position_embeddings", "", {"found nothing"}},
        {"max_position_embeddings zero", "max_position_embeddings", "0", {"found 0"}},
        {"max_position_embeddings absurd", "max_position_embeddings", "1000000000000", {"found 1000000000000"}},
        {"rms_norm_eps missing", "rms_norm_eps", "", {"found nothing", "a number"}},
        {"rms_norm_eps zero", "rms_norm_eps", "0", {"found 0"}},
        {"rms_norm_eps negative", "rms_norm_eps", "-1e-6", {"found -1e-06"}},
        {"rms_norm_eps one", "rms_norm_eps", "1", {"found 1"}},
        {"rms_norm_eps a string", "rms_norm_eps", "\"1e-6\"", {"found \"1e-6\""}},
        {"rope_theta missing", "rope_theta", "", {"found nothing"}},
        {"rope_theta one", "rope_theta", "1", {"found 1"}},
        {"rope_theta negative", "rope_theta", "-10000", {"found -10000"}},
        {"rope_theta absurd", "rope_theta", "1e300", {"found 1e+300"}},
        {"model_type missing", "model_type", "", {"found nothing", "a string"}},
        {"model_type of another family", "model_type", "\"llama\"", {"found \"llama\"", "\"deepseek_v3\""}},
        {"model_type of the version before", "model_type", "\"deepseek_v2\"", {"found \"deepseek_v2\""}},
        {"model_type a number", "model_type", "3", {"found 3", "a string"}},
        {"tie_word_embeddings a number", "tie_word_embeddings", "1", {"found 1", "true or false"}},
    };
}

std::vector<BadField> bad_attention() {
    return {
        {"num_attention_heads zero", "num_attention_heads", "0", {"found 0"}},
        {"num_attention_heads absurd", "num_attention_heads", "65536", {"found 65536"}},
        {"fewer key heads", "num_key_value_heads", "1", {"found 1", "num_attention_heads (2)"}},
        {"no key heads", "num_key_value_heads", "0", {"found 0"}},
        {"q_lora_rank zero", "q_lora_rank", "0", {"found 0"}},
        {"q_lora_rank negative", "q_lora_rank", "-1", {"found -1"}},
        {"q_lora_rank a string", "q_lora_rank", "\"null\"", {"found \"null\""}},
        {"kv_lora_rank missing", "kv_lora_rank", "", {"found nothing"}},
        {"kv_lora_rank null", "kv_lora_rank", "null", {"found null"}},
        {"kv_lora_rank absurd", "kv_lora_rank", "1000000", {"found 1000000"}},
        {"qk_nope_head_dim zero", "qk_nope_head_dim", "0", {"found 0"}},
        {"qk_rope_head_dim zero", "qk_rope_head_dim", "0", {"found 0"}},
        {"qk_rope_head_dim odd", "qk_rope_head_dim", "5", {"found 5", "even"}},
        {"v_head_dim zero", "v_head_dim", "0", {"found 0"}},
        {"v_head_dim absurd", "v_head_dim", "100000", {"found 100000"}},
        {"attention_bias true", "attention_bias", "true", {"found true", "expected false"}},
        {"attention_bias a string", "attention_bias", "\"false\"", {"found \"false\""}},
        {"halves instead of pairs rotated", "rope_interleave", "false", {"found false", "expected true"}},
        {"hidden_act gelu", "hidden_act", "\"gelu\"", {"found \"gelu\"", "\"silu\""}},
        {"hidden_act a number", "hidden_act", "1", {"found 1"}},
    };
}

std::vector<BadField> bad_experts() {
    return {
        {"n_routed_experts negative", "n_routed_experts", "-4", {"found -4"}},
        {"n_routed_experts absurd", "n_routed_experts", "1000000", {"found 1000000"}},
        {"moe_intermediate_size missing", "moe_intermediate_size", "", {"found nothing"}},
        {"moe_intermediate_size zero", "moe_intermediate_size", "0", {"found 0"}},
        {"num_experts_per_tok missing", "num_experts_per_tok", "", {"found nothing"}},
        {"num_experts_per_tok zero", "num_experts_per_tok", "0", {"found 0"}},
        {"more experts chosen than there are", "num_experts_per_tok", "5", {"found 5", "n_routed_experts (4)"}},
        {"n_shared_experts negative", "n_shared_experts", "-1", {"found -1"}},
        {"n_shared_experts absurd", "n_shared_experts", "1000", {"found 1000"}},
        {"first_k_dense_replace negative", "first_k_dense_replace", "-1", {"found -1"}},
        {"first_k_dense_replace past the layers", "first_k_dense_replace", "3", {"found 3", "to 2"}},
        {"moe_layer_freq negative", "moe_layer_freq", "-1", {"found -1"}},
        {"moe_layer_freq a list", "moe_layer_freq", "[0, 1]", {"found [0, 1]"}},
        {"n_group zero", "n_group", "0", {"found 0"}},
        {"n_group not dividing", "n_group", "3", {"found 3", "a divisor of n_routed_experts (4)"}},
        {"groups of one expert", "n_group", "4", {"found 4", "two experts"}},
        {"topk_group past n_group", "topk_group", "2", {"found 2", "from 1 to 1"}},
        {"topk_group zero", "topk_group", "0", {"found 0"}},
        {"topk_method greedy", "topk_method", "\"greedy\"", {"found \"greedy\"", "\"noaux_tc\""}},
        {"topk_method of grouped softmax", "topk_method", "\"group_limited_greedy\"", {"\"noaux_tc\""}},
        {"scoring_func softmax", "scoring_func", "\"softmax\"", {"found \"softmax\"", "\"sigmoid\""}},
        {"scoring_func a list", "scoring_func", "[\"sigmoid\"]", {"found a list"}},
        {"norm_topk_prob a number", "norm_topk_prob", "1", {"found 1", "true or false"}},
        {"routed_scaling_factor missing", "routed_scaling_factor", "", {"found nothing"}},
        {"routed_scaling_factor zero", "routed_scaling_factor", "0", {"found 0"}},
        {"routed_scaling_factor negative", "routed_scaling_factor", "-2.5", {"found -2.5"}},
    };
}

std::vector<BadField> bad_rope_scaling() {
    return {
        {"rope_scaling a number", "rope_scaling", "4", {"found 4", "an object"}},
        {"rope_scaling a string", "rope_scaling", "\"yarn\"", {"found \"yarn\"", "an object"}},
        {"rope_scaling empty", "rope_scaling", "{}", {"rope_scaling.type", "found nothing", "\"yarn\""}},
        {"rope_scaling linear", "rope_scaling", R"({"type": "linear", "factor": 2})", {"rope_scaling.type", "found \"linear\"", "\"yarn\""}},
        {"rope_type llama3", "rope_scaling", R"({"rope_type": "llama3", "factor": 2})", {"rope_scaling.rope_type", "found \"llama3\""}},
        {"two types that differ", "rope_scaling", R"({"type": "yarn", "rope_type": "linear"})", {"rope_scaling.rope_type", "\"linear\""}},
        {"type a number", "rope_scaling", R"({"type": 1})", {"rope_scaling.type", "found 1"}},
        {"factor missing", "rope_scaling", R"({"type": "yarn"})", {"rope_scaling.factor", "found nothing"}},
        {"factor zero", "rope_scaling", R"({"type": "yarn", "factor": 0})", {"rope_scaling.factor", "found 0"}},
        {"factor below one", "rope_scaling", R"({"type": "yarn", "factor": 0.5})", {"rope_scaling.factor", "found 0.5"}},
        {"factor a string", "rope_scaling", R"({"type": "yarn", "factor": "4"})", {"rope_scaling.factor", "found \"4\""}},
        {"original context missing", "rope_scaling", R"({"type": "yarn", "factor": 4})", {"rope_scaling.original_max_position_embeddings", "found nothing"}},
        {"original context zero", "rope_scaling", R"({"type": "yarn", "factor": 4, "original_max_position_embeddings": 0})", {"rope_scaling.original_max_position_embeddings", "found 0"}},
        {"beta_fast zero", "rope_scaling", scaling(R"(, "beta_fast": 0)"), {"rope_scaling.beta_fast", "found 0"}},
        {"beta_slow negative", "rope_scaling", scaling(R"(, "beta_slow": -1)"), {"rope_scaling.beta_slow", "found -1"}},
        {"beta_fast below beta_slow", "rope_scaling", scaling(R"(, "beta_fast": 1, "beta_slow": 2)"), {"rope_scaling.beta_fast", "found 1", "beta_slow (2)"}},
        {"mscale that differs", "rope_scaling", scaling(R"(, "mscale": 0.7)"), {"rope_scaling.mscale_all_dim", "found 1", "mscale (0.7)"}},
        {"mscale negative", "rope_scaling", scaling(R"(, "mscale": -1)"), {"rope_scaling.mscale", "found -1"}},
    };
}

std::vector<BadField> bad_quantization_and_tokens() {
    return {
        {"quantization_config a string", "quantization_config", "\"fp8\"", {"found \"fp8\"", "an object"}},
        {"quantization_config empty", "quantization_config", "{}", {"quantization_config.quant_method", "found nothing"}},
        {"quant_method of another library", "quantization_config", R"({"quant_method": "gptq"})", {"quantization_config.quant_method", "found \"gptq\"", "\"fp8\""}},
        {"quant_method a number", "quantization_config", R"({"quant_method": 8})", {"quantization_config.quant_method", "found 8"}},
        {"block size missing", "quantization_config", R"({"quant_method": "fp8"})", {"quantization_config.weight_block_size", "found nothing", "[128, 128]"}},
        {"block size of rows", "quantization_config", fp8("[1, 128]"), {"quantization_config.weight_block_size", "found [1, 128]", "[128, 128]"}},
        {"block size of one number", "quantization_config", fp8("[128]"), {"quantization_config.weight_block_size", "found [128]"}},
        {"block size of three numbers", "quantization_config", fp8("[128, 128, 1]"), {"quantization_config.weight_block_size", "[128, 128, 1]"}},
        {"block size of strings", "quantization_config", fp8("[\"128\", \"128\"]"), {"quantization_config.weight_block_size", "found a list"}},
        {"block size zero", "quantization_config", fp8("[0, 128]"), {"quantization_config.weight_block_size", "found [0, 128]"}},
        {"the other fp8", "quantization_config", fp8("[128, 128]", "\"e5m2\""), {"quantization_config.fmt", "found \"e5m2\"", "\"e4m3\""}},
        {"eos_token_id past the vocabulary", "eos_token_id", "50", {"found 50", "to 49"}},
        {"eos_token_id negative", "eos_token_id", "-1", {"found -1"}},
        {"eos_token_id a string", "eos_token_id", "\"</s>\"", {"found \"</s>\""}},
        {"eos_token_id list with a bad one", "eos_token_id", "[1, 50]", {"found [1, 50]", "or a list of them"}},
        {"eos_token_id list of strings", "eos_token_id", "[1, \"2\"]", {"found a list"}},
        {"eos_token_id nested list", "eos_token_id", "[[1]]", {"found a list"}},
        {"bos_token_id past the vocabulary", "bos_token_id", "163584", {"found 163584"}},
        {"bos_token_id a list", "bos_token_id", "[0]", {"found [0]"}},
        {"text_config a list", "text_config", "[]", {"an object"}},
        {"text_config empty", "text_config", "{}", {"text_config.vocab_size", "found nothing"}},
        {"field with an escape sequence", "hidden_act", R"("\u001b]0;x\u0007")", {"found \"?]0;x?\""}},
        {"field of a megabyte", "hidden_act", "\"" + std::string(900000, 'x') + "\"", {"found \"xxx", "..."}},
    };
}

std::vector<BadText> bad_texts() {
    const std::string good = ConfigText().text();
    std::string deep = "{\"x\": ";
    for (int i = 0; i < 100000; ++i) deep += "[";
    std::string crowded = "{\"" + std::string(400000, 'k') + "\": {";
    for (int i = 0; i < 40000; ++i) crowded += (i > 0 ? ",\"" : "\"") + std::to_string(i) + "\":1";
    return {
        {"empty file", "", {"not valid JSON"}},
        {"spaces", "   \n", {"not valid JSON"}},
        {"truncated", good.substr(0, good.size() / 2), {"not valid JSON"}},
        {"last brace missing", good.substr(0, good.size() - 1), {"not valid JSON"}},
        {"text behind", good + "x", {"not valid JSON"}},
        {"zero byte behind", good + std::string(1, '\0'), {"not valid JSON", "zero byte"}},
        {"a list", "[" + good + "]", {"not a JSON object"}},
        {"a number", "7", {"not a JSON object"}},
        {"null", "null", {"not a JSON object"}},
        {"single quotes", "{'vocab_size': 3}", {"not valid JSON"}},
        {"a comment", "// config\n" + good, {"not valid JSON"}},
        {"Python's None", "{\"q_lora_rank\": None}", {"not valid JSON"}},
        {"Infinity", "{\"rope_theta\": Infinity}", {"not valid JSON"}},
        {"invalid UTF-8", "{\"model_type\": \"\xff\xfe\"}", {"not valid JSON", "UTF-8"}},
        {"UTF-16", std::string("\xff\xfe{\0}\0", 6), {"not valid JSON"}},
        {"nested 100,000 deep", deep, {"nested deeper than the 64"}},
        {"field twice", good.substr(0, good.size() - 1) + ", \"hidden_size\": 16}", {"\"hidden_size\"", "twice"}},
        {"field twice with other values", good.substr(0, good.size() - 1) + ", \"hidden_size\": 32}", {"\"hidden_size\"", "twice"}},
        {"field of an inner object twice", R"({"rope_scaling": {"factor": 1, "factor": 2}})", {"\"factor\"", "twice"}},
        {"file past the size limit", good + std::string(1 << 20, ' '), {"bytes", "at most 1048576"}},
        {"a long key over 40,000 values", crowded + "}}", {"model_type", "found nothing"}},
        {"a dotted key instead of an object", R"({"text_config.vocab_size": 3, "text_config": {}, "model_type": "kimi_k2"})", {"text_config.vocab_size", "found nothing"}},
    };
}

std::vector<BadText> bad_generation_texts() {
    return {
        {"truncated", "{", {"not valid JSON"}},
        {"a list", "[]", {"not a JSON object"}},
        {"field twice", R"({"top_k": 1, "top_k": 2})", {"\"top_k\"", "twice"}},
        {"eos_token_id past the vocabulary", R"({"eos_token_id": [1, 163586]})", {"eos_token_id", "found [1, 163586]"}},
        {"eos_token_id a fraction", R"({"eos_token_id": 1.5})", {"eos_token_id", "found 1.5"}},
        {"temperature negative", R"({"temperature": -1})", {"temperature", "found -1"}},
        {"temperature a string", R"({"temperature": "0.6"})", {"temperature", "found \"0.6\""}},
        {"top_p zero", R"({"top_p": 0})", {"top_p", "found 0"}},
        {"top_p above one", R"({"top_p": 1.5})", {"top_p", "found 1.5"}},
        {"top_k negative", R"({"top_k": -1})", {"top_k", "found -1"}},
        {"top_k a fraction", R"({"top_k": 2.5})", {"top_k", "found 2.5"}},
    };
}
// clang-format on

void check_all_refused(const std::vector<BadField>& cases) {
    for (const BadField& bad : cases) {
        ConfigText config;
        bad.json.empty() ? config.drop(bad.field) : config.set(bad.field, bad.json);
        std::vector<std::string> parts = bad.parts;
        parts.push_back("dir/config.json: ");
        parts.push_back(bad.field);
        check_refused(bad.name, parts,
                      [&] { parse_model_config(config.text(), "", "dir/config.json"); });
    }
}

}  // namespace

TEST_CASE("the configuration that the bad cases damage is good") {
    CHECK(parse_model_config(ConfigText().text(), "", "c").hidden_size == 16);
}

TEST_CASE("bad sizes are refused with file, field, what was found and what is accepted") {
    check_all_refused(bad_sizes());
}

TEST_CASE("bad attention fields are refused with file, field, found and accepted") {
    check_all_refused(bad_attention());
}

TEST_CASE("bad expert fields are refused with file, field, found and accepted") {
    check_all_refused(bad_experts());
}

TEST_CASE("bad rope_scaling is refused with file, field, found and accepted") {
    check_all_refused(bad_rope_scaling());
}

TEST_CASE("bad quantisation and token ids are refused with file, field, found and accepted") {
    check_all_refused(bad_quantization_and_tokens());
}

TEST_CASE("fields that contradict each other are refused") {
    ConfigText few_groups;
    few_groups.set("n_routed_experts", "8").set("n_group", "4").set("topk_group", "1");
    few_groups.set("num_experts_per_tok", "3");
    check_refused("more experts than the groups hold", {"c: num_experts_per_tok", "found 3", "2"},
                  [&] { parse_model_config(few_groups.text(), "", "c"); });
    ConfigText many;
    many.set("num_hidden_layers", "1024").set("n_routed_experts", "16384");
    check_refused("absurd number of experts in all", {"c: n_routed_experts", "found 16384"},
                  [&] { parse_model_config(many.text(), "", "c"); });
}

TEST_CASE("files that are not strict JSON are refused with file and reason") {
    for (const BadText& bad : bad_texts()) {
        std::vector<std::string> parts = bad.parts;
        parts.push_back("dir/config.json: ");
        check_refused(bad.name, parts,
                      [&] { parse_model_config(bad.text, "", "dir/config.json"); });
    }
}

TEST_CASE("a bad generation_config.json is refused with file, field, found and accepted") {
    for (const BadText& bad : bad_generation_texts()) {
        std::vector<std::string> parts = bad.parts;
        parts.push_back("dir/generation_config.json: ");
        check_refused(bad.name, parts, [&] {
            parse_model_config(ConfigText().text(), bad.text, "dir/config.json");
        });
    }
}

TEST_CASE("configuration files that are no regular files are refused") {
    const TemporaryDirectory directory;
    const std::string config = directory.file("config.json");
    const std::string generation = directory.file("generation_config.json");
    const auto read = [&] { read_model_config(directory.path.string()); };
    check_refused("config missing", {"config.json", "No such file"}, read);
    REQUIRE(mkfifo(config.c_str(), 0600) == 0);
    check_refused("config is a fifo", {"config.json", "not a regular file"}, read);
    fs::remove(config);
    fs::create_directory(config);
    check_refused("config is a directory", {"config.json", "is a directory"}, read);
    fs::remove(config);
    write_text(config, ConfigText().text());
    fs::create_symlink("nowhere", generation);
    check_refused("generation config is a dangling link",
                  {"generation_config.json", "No such file"}, read);
    fs::remove(generation);
    write_text(generation, "");
    check_refused("generation config is empty", {"generation_config.json", "empty"}, read);
    fs::resize_file(config, std::uintmax_t{1} << 40);
    fs::remove(generation);
    check_refused("config of a sparse terabyte", {"config.json", "at most"}, read);
}
