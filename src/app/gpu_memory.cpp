#include "app/gpu_memory.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/error.h"
#include "model/activations.h"
#include "model/checkpoint_check.h"
#include "model/kv_pages.h"
#include "model/tensor_names.h"

namespace baltoro {
namespace {

double gigabytes(std::uint64_t bytes) {
    return 1e-9 * static_cast<double>(bytes);
}

}  // namespace

bool lies_on_gpu(const ModelConfig& config, std::string_view name) {
    if (!is_used(config, name) || is_routed_expert(name)) return false;
    return name != kEmbeddingTable || config.tie_word_embeddings;
}

device::GpuStepShapes gpu_step_shapes(const ModelConfig& config,
                                      const Checkpoint& checkpoint,
                                      int max_rows,
                                      int context_size,
                                      bool has_experts) {
    device::GpuStepShapes shapes;
    shapes.mla = {config.num_attention_heads, config.kv_lora_rank, config.qk_nope_head_dim,
                  config.qk_rope_head_dim, config.v_head_dim};
    shapes.max_rows = max_rows;
    shapes.max_tokens = context_size;
    const bool has_dense = !config.is_moe_layer(0);
    shapes.ffn_size = std::max(has_dense ? config.intermediate_size : 0,
                               config.n_shared_experts * config.moe_intermediate_size);
    shapes.n_experts = config.n_routed_experts;
    shapes.hidden_size = config.hidden_size;
    shapes.experts_per_row = config.num_experts_per_tok;
    shapes.resident_ffn_size = has_experts ? config.moe_intermediate_size : 0;
    for (const auto& [name, tensor] : checkpoint.tensors())
        if (lies_on_gpu(config, name) && tensor.dtype == DType::f8_e4m3)
            shapes.largest_weight = std::max(shapes.largest_weight, tensor.size_bytes);
    return shapes;
}

GpuMemoryPlan plan_gpu_memory(const ModelConfig& config,
                              const Checkpoint& checkpoint,
                              const device::GpuStepShapes& shapes,
                              int kv_tokens) {
    GpuMemoryPlan plan;
    plan.kv_tokens = kv_tokens;
    for (const auto& [name, tensor] : checkpoint.tensors())
        if (lies_on_gpu(config, name)) plan.weights += tensor.size_bytes;
    plan.kv_cache =
        KvPages::bytes_per_token(config) * static_cast<std::uint64_t>(std::max(kv_tokens, 0));
    plan.activations = device::gpu_scratch_sizes(shapes).total() +
                       Activations::device_bytes(config, shapes.max_rows);
    return plan;
}

std::uint64_t gpu_graph_bytes(const ModelConfig& config) noexcept {
    constexpr std::uint64_t kLaunchesPerLayer = 24;
    constexpr std::uint64_t kLaunchBytes = std::uint64_t{64} << 10;
    return static_cast<std::uint64_t>(config.num_hidden_layers) * kLaunchesPerLayer * kLaunchBytes;
}

std::string gpu_memory_line(const GpuMemoryPlan& plan, std::uint64_t available) {
    return fmt::format(
        "GPU memory: weights {:.2f} GB, KV cache {:.2f} GB ({} tokens), activations {:.2f} GB, "
        "{} graphs about {:.2f} GB, experts {:.2f} GB; {:.2f} of {:.2f} GB",
        gigabytes(plan.weights), gigabytes(plan.kv_cache), plan.kv_tokens,
        gigabytes(plan.activations), plan.n_graphs, gigabytes(plan.graphs), gigabytes(plan.experts),
        gigabytes(plan.total()), gigabytes(available));
}

void add_wishes(GpuMemoryPlan& plan,
                const GpuWishes& wishes,
                std::uint64_t available,
                std::uint64_t expert_bytes,
                const ModelConfig& config) {
    const std::uint64_t of_each = expert_bytes * static_cast<std::uint64_t>(config.n_moe_layers());
    const bool is_auto = wishes.experts == "auto";
    // How many things of a size fit what is left, at most so many.
    const auto fitting = [&](std::uint64_t size, int most, std::uint64_t margin) {
        const std::uint64_t taken = plan.total() + margin;
        if (available <= taken || size == 0) return 0;
        return static_cast<int>(
            std::min((available - taken) / size, static_cast<std::uint64_t>(most)));
    };
    if (!is_auto) plan.n_experts = std::min(std::stoi(wishes.experts), config.n_routed_experts);
    plan.experts = of_each * static_cast<std::uint64_t>(plan.n_experts);
    plan.n_graphs = fitting(gpu_graph_bytes(config), wishes.graphs, 0);
    plan.graphs = gpu_graph_bytes(config) * static_cast<std::uint64_t>(plan.n_graphs);
    if (!is_auto) return;
    // Something is left for what the driver and its libraries take later.
    constexpr std::uint64_t kMargin = std::uint64_t{256} << 20;
    plan.n_experts = fitting(of_each, config.n_routed_experts, kMargin);
    plan.experts = of_each * static_cast<std::uint64_t>(plan.n_experts);
}

void require_gpu_memory(const GpuMemoryPlan& plan,
                        std::uint64_t available,
                        const ModelConfig& config) {
    if (plan.total() <= available) return;
    if (plan.experts > 0 && plan.total() - plan.experts <= available)
        throw Error(fmt::format("{} are available: fewer --gpu-experts would fit",
                                gpu_memory_line(plan, available)));
    const std::uint64_t fixed = plan.weights + plan.activations;
    const std::uint64_t tokens =
        available > fixed ? (available - fixed) / KvPages::bytes_per_token(config) : 0;
    const std::string advice =
        tokens < 256 ? std::string("--device cpu needs no GPU")
                     : fmt::format("there is room for {} tokens: see --ctx-size and --parallel",
                                   tokens / 64 * 64);
    throw Error(fmt::format("{} are available: {}", gpu_memory_line(plan, available), advice));
}

}  // namespace baltoro
