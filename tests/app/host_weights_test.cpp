#include "app/host_weights.h"

#include <string>

#include <doctest/doctest.h>

#include "model/config.h"
#include "model/kv_pages.h"

using namespace baltoro;

namespace {

// 3 layers, the first of them dense, 12 experts.
const std::string kTiny = std::string(BALTORO_GOLDEN_DIR) + "/oracle/k2-tiny";
constexpr HostWeights kAlone{};
constexpr HostWeights kWithGpu{true, 0};
constexpr HostWeights kWithExpertsThere{true, 5};

}  // namespace

TEST_CASE("without a GPU the host has dense weights and KV cache, with one the looked-up table") {
    const ModelConfig config = read_model_config(kTiny);
    const Checkpoint checkpoint(kTiny);
    std::uint64_t dense = 0;
    for (const auto& [name, tensor] : checkpoint.tensors())
        if (name.find(".mlp.experts.") == std::string::npos) dense += tensor.size_bytes;
    const std::uint64_t kv_cache = 1000 * KvPages::bytes_per_token(config);
    CHECK(kv_cache > 0);
    CHECK(bytes_beside_experts(config, checkpoint, 1000, kAlone) == dense + kv_cache);
    CHECK(bytes_beside_experts(config, checkpoint, 1000, kWithGpu) ==
          std::uint64_t{600} * 320 * sizeof(bf16_t));
}

TEST_CASE("with a GPU the host keeps the embedding table and the experts that are not there") {
    const ModelConfig config = read_model_config(kTiny);
    const std::string expert = "model.layers.1.mlp.experts.";
    for (const HostWeights& host : {kAlone, kWithGpu, kWithExpertsThere}) {
        CAPTURE(host.gpu_experts);
        CHECK(stays_with_host(config, "model.embed_tokens.weight", host));
        CHECK(stays_with_host(config, expert + "5.up_proj.weight", host));
        CHECK(stays_with_host(config, expert + "11.down_proj.weight_scale_inv", host));
        const bool has_all = !host.has_gpu;
        CHECK(stays_with_host(config, "lm_head.weight", host) == has_all);
        CHECK(stays_with_host(config, "model.layers.0.self_attn.o_proj.weight", host) == has_all);
        CHECK(stays_with_host(config, "model.layers.1.mlp.shared_experts.up_proj.weight", host) ==
              has_all);
        const bool has_expert_4 = host.gpu_experts == 0;
        CHECK(stays_with_host(config, expert + "4.up_proj.weight", host) == has_expert_4);
        CHECK(stays_with_host(config, expert + "0.down_proj.weight_scale_inv", host) ==
              has_expert_4);
        CHECK(!stays_with_host(config, "model.layers.3.mlp.experts.0.up_proj.weight", host));
    }
}

TEST_CASE("the first experts of each layer live elsewhere") {
    const ModelConfig config = read_model_config(kTiny);
    CHECK(experts_elsewhere(config, kWithGpu).empty());
    const std::vector<bool> elsewhere = experts_elsewhere(config, kWithExpertsThere);
    REQUIRE(elsewhere.size() == 2 * 12);
    for (std::size_t i = 0; i < elsewhere.size(); i++)
        CHECK(elsewhere[i] == (i % 12 < 5));
}

TEST_CASE(
    "every byte that is used lies with the host or on the GPU, the table of both with the host") {
    const ModelConfig config = read_model_config(kTiny);
    const Checkpoint checkpoint(kTiny);
    std::uint64_t all = 0;
    std::uint64_t expert_bytes = 0;
    for (const auto& [name, tensor] : checkpoint.tensors()) {
        all += tensor.size_bytes;
        if (name.find(".mlp.experts.") != std::string::npos) expert_bytes += tensor.size_bytes;
    }
    const std::uint64_t table = std::uint64_t{600} * 320 * sizeof(bf16_t);
    const WeightBytes alone = weight_bytes(config, checkpoint, 10, kAlone);
    CHECK(alone.host == all + 10 * KvPages::bytes_per_token(config));
    CHECK(alone.gpu == 0);
    const WeightBytes with_gpu = weight_bytes(config, checkpoint, 10, kWithGpu);
    CHECK(with_gpu.host == table + expert_bytes);
    CHECK(with_gpu.gpu == all - table - expert_bytes);
    const WeightBytes with_experts = weight_bytes(config, checkpoint, 10, kWithExpertsThere);
    CHECK(with_experts.host == table + expert_bytes / 12 * 7);
    CHECK(with_experts.gpu == all - table - expert_bytes / 12 * 7);
}

// Kimi-K2: 1,030 GB in all, of which 10.5 GB lie on the GPU.
TEST_CASE("what lies on the GPU stays in the page cache where memory is plenty") {
    const std::uint64_t gb = 1'000'000'000;
    const WeightBytes k2{1'020 * gb, 10'500'000'000};
    CHECK(!may_stay_cached(k2, 512 * gb));
    CHECK(!may_stay_cached(k2, 1'024 * gb));
    CHECK(!may_stay_cached(k2, 1'090 * gb));
    CHECK(may_stay_cached(k2, 1'100 * gb));
    CHECK(may_stay_cached(k2, 1'536 * gb));
    // With 60 GB of experts on the GPU as well.
    CHECK(!may_stay_cached({960 * gb, 70 * gb}, 1'024 * gb));
    CHECK(!may_stay_cached({1, 1}, 0));
}
