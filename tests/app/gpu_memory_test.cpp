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
          "0 graphs about 0.00 GB, experts 0.00 GB; 18.21 of 24.00 GB");
}

TEST_CASE("a plan that does not fit says how many tokens would, or that none would") {
    CHECK_THROWS_WITH_AS(
        require_gpu_memory(plan(), 16'000'000'000, k2()),
        "GPU memory: weights 8.00 GB, KV cache 9.21 GB (131072 tokens), activations 1.00 GB, "
        "0 graphs about 0.00 GB, experts 0.00 GB; 18.21 of 16.00 GB are available: there is room "
        "for 99584 tokens: see "
        "--ctx-size and --parallel",
        Error);
    CHECK_THROWS_WITH_AS(
        require_gpu_memory(plan(), 8'000'000'000, k2()),
        "GPU memory: weights 8.00 GB, KV cache 9.21 GB (131072 tokens), activations 1.00 GB, "
        "0 graphs about 0.00 GB, experts 0.00 GB; 18.21 of 8.00 GB are available: --device cpu "
        "needs no GPU",
        Error);
    GpuMemoryPlan with_experts = plan();
    with_experts.experts = 10'000'000'000;
    CHECK_THROWS_WITH_AS(
        require_gpu_memory(with_experts, 24'000'000'000, k2()),
        "GPU memory: weights 8.00 GB, KV cache 9.21 GB (131072 tokens), activations 1.00 GB, "
        "0 graphs about 0.00 GB, experts 10.00 GB; 28.21 of 24.00 GB are available: fewer "
        "--gpu-experts would fit",
        Error);
}

TEST_CASE("auto takes as many experts of each layer as the memory that is left") {
    const auto n_experts = [](const char* wish, std::uint64_t available) {
        GpuMemoryPlan wished = plan();
        add_wishes(wished, {wish, 0}, available, kExpertBytes, k2());
        CHECK(wished.experts == kExpertBytes * 60 * static_cast<std::uint64_t>(wished.n_experts));
        return wished.n_experts;
    };
    CHECK(n_experts("auto", 24'000'000'000) == 2);
    CHECK(n_experts("auto", 96'000'000'000) == 29);
    CHECK(n_experts("auto", 16'000'000'000) == 0);
    CHECK(n_experts("auto", 2'000'000'000'000) == 384);
    CHECK(n_experts("12", 16'000'000'000) == 12);
    CHECK(n_experts("1000", 16'000'000'000) == 384);
}

TEST_CASE("graphs take memory before experts that fill it, and give way to all else") {
    CHECK(gpu_graph_bytes(k2()) == 95'944'704);
    const auto wished = [](const char* experts, int graphs, std::uint64_t available) {
        GpuMemoryPlan plan_with = plan();
        add_wishes(plan_with, {experts, graphs}, available, kExpertBytes, k2());
        return plan_with;
    };
    CHECK(wished("0", 16, 24'000'000'000).n_graphs == 16);
    CHECK(wished("0", 16, 24'000'000'000).graphs == 16 * gpu_graph_bytes(k2()));
    CHECK(wished("0", 16, 18'710'000'000).n_graphs == 5);
    CHECK(wished("0", 16, 18'000'000'000).n_graphs == 0);
    CHECK(wished("auto", 16, 24'000'000'000).n_experts == 1);
    CHECK(wished("auto", 16, 24'000'000'000).n_graphs == 16);
    CHECK(wished("2", 16, 24'000'000'000).n_experts == 2);
    CHECK(wished("2", 16, 24'000'000'000).n_graphs == 5);
    CHECK(gpu_memory_line(wished("2", 16, 24'000'000'000), 24'000'000'000) ==
          "GPU memory: weights 8.00 GB, KV cache 9.21 GB (131072 tokens), activations 1.00 GB, "
          "5 graphs about 0.48 GB, experts 5.29 GB; 23.98 of 24.00 GB");
    CHECK_NOTHROW(require_gpu_memory(wished("2", 16, 24'000'000'000), 24'000'000'000, k2()));
}
