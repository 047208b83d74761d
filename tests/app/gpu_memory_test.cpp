#include "app/gpu_memory.h"

#include <doctest/doctest.h>

#include "base/error.h"

using namespace baltoro;

namespace {

// Kimi-K2's numbers.
ModelConfig k2() {
    ModelConfig config;
    config.num_hidden_layers = 61;
    config.kv_lora_rank = 512;
    config.qk_rope_head_dim = 64;
    config.n_routed_experts = 384;
    config.num_experts_per_tok = 8;
    config.first_k_dense_replace = 1;
    return config;
}

GpuMemoryPlan plan() {
    GpuMemoryPlan plan;
    plan.weights = 8'000'000'000;
    plan.activations = 1'000'000'000;
    plan.kv_tokens = 131072;
    plan.kv_cache = std::uint64_t{131072} * 61 * 576 * 2;
    return plan;
}

constexpr std::uint64_t kExpertBytes = 44'100'000;

}  // namespace

TEST_CASE("a plan that fits passes, and its line adds up") {
    CHECK_NOTHROW(require_gpu_memory(plan(), 24'000'000'000, k2()));
    CHECK(gpu_memory_line(plan(), 24'000'000'000) ==
          "GPU memory: weights 8.00 GB, KV cache 9.21 GB (131072 tokens), activations 1.00 GB, "
          "experts 0.00 GB; 18.21 of 24.00 GB");
}

TEST_CASE("a plan that does not fit says how many tokens would, or that none would") {
    CHECK_THROWS_WITH_AS(
        require_gpu_memory(plan(), 16'000'000'000, k2()),
        "GPU memory: weights 8.00 GB, KV cache 9.21 GB (131072 tokens), activations 1.00 GB, "
        "experts 0.00 GB; 18.21 of 16.00 GB are available: there is room for 99584 tokens: see "
        "--ctx-size and --parallel",
        Error);
    CHECK_THROWS_WITH_AS(
        require_gpu_memory(plan(), 8'000'000'000, k2()),
        "GPU memory: weights 8.00 GB, KV cache 9.21 GB (131072 tokens), activations 1.00 GB, "
        "experts 0.00 GB; 18.21 of 8.00 GB are available: --device cpu needs no GPU",
        Error);
    GpuMemoryPlan with_experts = plan();
    with_experts.experts = 10'000'000'000;
    CHECK_THROWS_WITH_AS(
        require_gpu_memory(with_experts, 24'000'000'000, k2()),
        "GPU memory: weights 8.00 GB, KV cache 9.21 GB (131072 tokens), activations 1.00 GB, "
        "experts 10.00 GB; 28.21 of 24.00 GB are available: fewer --gpu-experts would fit",
        Error);
}

TEST_CASE("auto takes as many experts of each layer as the memory that is left") {
    CHECK(choose_gpu_experts("auto", plan(), 24'000'000'000, kExpertBytes, k2()) == 2);
    CHECK(choose_gpu_experts("auto", plan(), 96'000'000'000, kExpertBytes, k2()) == 29);
    CHECK(choose_gpu_experts("auto", plan(), 16'000'000'000, kExpertBytes, k2()) == 0);
    CHECK(choose_gpu_experts("auto", plan(), 2'000'000'000'000, kExpertBytes, k2()) == 384);
    CHECK(choose_gpu_experts("12", plan(), 16'000'000'000, kExpertBytes, k2()) == 12);
    CHECK(choose_gpu_experts("1000", plan(), 16'000'000'000, kExpertBytes, k2()) == 384);
}
