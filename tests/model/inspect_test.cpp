#include "model/inspect.h"

#include <string>

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include "tests/model/checkpoint_fixture.h"
#include "tests/model/config_text.h"
#include "tests/weights/temporary_checkpoint.h"

using namespace baltoro;
using namespace baltoro::testing;

namespace {

InspectReport inspect(const TemporaryDirectory& directory,
                      const ModelConfig& config,
                      const std::map<std::string, DTypeAndShape>& tensors) {
    write_tensors(directory.path.string(), tensors);
    return inspect_checkpoint(config, Checkpoint(directory.path.string()));
}

ModelConfig small_config() {
    return parse_model_config(ConfigText().text(), "", "config.json");
}

}  // namespace

TEST_CASE("a report counts bytes by place, per token and in all") {
    const TemporaryDirectory directory;
    const ModelConfig config = small_config();
    const InspectReport report = inspect(directory, config, complete_tensors(config));
    CHECK(report.kv_bytes_per_token == (8 + 4) * 2 * 2);
    CHECK(report.host_bytes == 4 * 3 * 7 * 16 * 2);
    CHECK(report.routed_bytes_per_token == report.host_bytes / 2);
    CHECK(report.host_bytes + report.device_bytes == report.n_bytes);
    CHECK(report.n_weights * 2 == report.n_bytes);
    CHECK(report.n_active_weights == report.n_weights - 50 * 16 - 2 * 3 * 7 * 16);
}

TEST_CASE("the text names parts, places and problems") {
    const TemporaryDirectory directory;
    const ModelConfig config = small_config();
    auto tensors = complete_tensors(config);
    const std::string complete = to_text(inspect(directory, config, tensors));
    CHECK(complete.find("\nexperts      BF16           12") != std::string::npos);
    CHECK(complete.find("KV cache: 48 bytes per token") != std::string::npos);
    CHECK(complete.ends_with("\ncomplete\n"));
    tensors.erase("model.norm.weight");
    tensors["lm_head.weight"].shape = {3};
    tensors["odd\x1b name"] = {DType::u8, {1}};
    const std::string broken = to_text(inspect(directory, config, tensors));
    CHECK(broken.find("missing tensors: 1\n  model.norm.weight\n") != std::string::npos);
    CHECK(broken.find("lm_head.weight: expected BF16 [50, 16], found BF16 [3]") !=
          std::string::npos);
    CHECK(broken.find("unexpected tensors: 1\n  \"odd? name\"\n") != std::string::npos);
    CHECK(broken.ends_with("NOT complete\n"));
}

TEST_CASE("the JSON holds the same") {
    const TemporaryDirectory directory;
    const ModelConfig config = small_config();
    auto tensors = complete_tensors(config);
    tensors.erase("model.norm.weight");
    const InspectReport report = inspect(directory, config, tensors);
    const auto json = nlohmann::json::parse(to_json(report));
    CHECK(json["complete"] == false);
    CHECK(json["missing"]["count"] == 1);
    CHECK(json["missing"]["first"][0] == "model.norm.weight");
    CHECK(json["parts"]["experts"]["BF16"]["bytes"] == report.host_bytes);
    CHECK(json["kv_bytes_per_token"] == 48);
    CHECK(json["config"]["hidden_size"] == 16);
}
