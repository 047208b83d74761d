#include "app/runtime.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>

#include <fmt/format.h>

#include "app/chunk_size.h"
#include "app/device_choice.h"
#include "app/expert_memory.h"
#include "app/gpu_memory.h"
#include "app/host_weights.h"
#include "base/error.h"
#include "base/log.h"
#include "device/cpu_device.h"
#include "device/gpu_device.h"
#include "model/checkpoint_check.h"
#include "model/tensor_names.h"
#include "numa/available_memory.h"
#include "numa/fallbacks.h"
#include "numa/topology.h"
#include "weights/load_progress.h"

namespace baltoro {
namespace {

kernels::IsaLevel choose_isa(const std::string& name) {
    if (name == "auto") return kernels::best_isa();
    const Result<kernels::IsaLevel> level = kernels::isa_from_name(name);
    if (!level) throw Error("--isa: " + level.error());
    if (*level > kernels::highest_isa())
        throw Error(fmt::format("--isa {}: this machine runs up to {}", name,
                                kernels::isa_name(kernels::highest_isa())));
    return *level;
}

int choose_context(const RuntimeOptions& options, const ModelConfig& config) {
    const int longest = config.max_position_embeddings;
    if (options.context_size > longest)
        throw Error(
            fmt::format("--ctx-size {}: the checkpoint goes up to {} (max_position_embeddings)",
                        options.context_size, longest));
    return options.context_size == 0 ? longest : options.context_size;
}

// As many workers as asked for, with a line for each thing about them that is not as wished.
int choose_threads(const RuntimeOptions& options, const numa::Topology& topology) {
    const int n_threads =
        options.threads == 0 ? numa::default_thread_count(topology) : options.threads;
    for (const std::string& line : numa::fallbacks(topology, n_threads))
        log_warning(line);
    return n_threads;
}

using IsNeeded = std::function<bool(std::string_view name)>;

// Brings weights into memory, with progress.
void load_weights(const Runtime& runtime, const char* what, const IsNeeded& is_needed) {
    ProgressDisplay display(what, isatty(STDERR_FILENO) != 0);
    load_into_page_cache(runtime.checkpoint, is_needed, runtime.team->size(),
                         [&](const LoadProgress& progress) { display.show(progress); });
}

// Brings the weights that stay with the host into memory and returns the experts, copied or where
// they lie.
RoutedExperts load(const Runtime& runtime,
                   const RuntimeOptions& options,
                   const numa::Topology& topology,
                   const HostWeights& host) {
    const ModelConfig& config = runtime.config;
    experts::ExpertStore mapped = map_experts(config, runtime.checkpoint);
    ExpertMemory memory{
        experts::place_experts(*runtime.team, config.moe_intermediate_size),
        {},
        bytes_beside_experts(config, runtime.checkpoint, runtime.context_size, host),
        numa::available_memory(topology)};
    memory.placement.lives_elsewhere = experts_elsewhere(config, host);
    memory.copied_bytes = experts::copied_bytes(mapped, memory.placement);
    const ExpertChoice choice = choose_experts(options.experts, memory, topology);
    load_weights(runtime, "weights", [&](std::string_view name) {
        return stays_with_host(config, name, host) && !(choice.is_copied && is_routed_expert(name));
    });
    if (choice.is_copied) {
        experts::CopiedExperts copied =
            copy_experts({mapped, runtime.checkpoint.shards(), choice.keep_cached},
                         memory.placement, topology, *runtime.team);
        return {std::move(copied), std::move(mapped)};
    }
    log_line("experts: mapped where the checkpoint lies" + choice.reason);
    return RoutedExperts(std::move(mapped));
}

// The device that the options name, its memory checked against what the model needs; sets how many
// routed experts live there.
std::unique_ptr<device::Device> choose_device(const Runtime& runtime,
                                              const RuntimeOptions& options,
                                              ModelLimits& limits) {
    std::unique_ptr<device::GpuPlatform> gpu = choose_gpu(options);
    if (gpu == nullptr) return std::make_unique<device::CpuDevice>(*runtime.team, runtime.isa);
    const ModelConfig& config = runtime.config;
    const device::GpuStepShapes shapes =
        gpu_step_shapes(config, runtime.checkpoint, limits.max_rows, runtime.context_size,
                        options.gpu_experts != "0");
    GpuMemoryPlan plan =
        plan_gpu_memory(config, runtime.checkpoint, shapes, limits.n_pages * device::kPageTokens);
    const std::uint64_t available = gpu->free_bytes();
    auto device = std::make_unique<device::GpuDevice>(std::move(gpu), options.gpu_graphs);
    const std::uint64_t expert_bytes =
        config.n_routed_experts == 0
            ? 0
            : device->expert_slot_bytes({config.hidden_size, config.moe_intermediate_size,
                                         config.fp8_blocks ? DType::f8_e4m3 : DType::bf16});
    add_wishes(plan, {options.gpu_experts, options.gpu_graphs}, available, expert_bytes, config);
    require_gpu_memory(plan, available, config);
    log_line(gpu_memory_line(plan, available));
    device->limit_graphs(plan.n_graphs);
    limits.device_experts = plan.n_experts;
    if (plan.n_experts > 0)
        log_line(fmt::format("experts: {} of {} of each layer live on the GPU", plan.n_experts,
                             config.n_routed_experts));
    device->reserve(shapes);
    return device;
}

}  // namespace

Runtime make_runtime(const RuntimeOptions& options,
                     TextFiles text_files,
                     const DeviceMaker& make_device) {
    const kernels::IsaLevel isa = choose_isa(options.isa);
    const auto begin = std::chrono::steady_clock::now();
    ModelConfig config = read_model_config(options.model_dir);
    const int context = choose_context(options, config);
    Runtime runtime{
        std::move(config), Checkpoint(options.model_dir), isa, {}, {}, {}, {}, {}, context, 0.0};
    require_complete(runtime.config, runtime.checkpoint);
    if (text_files == TextFiles::required) {
        runtime.tokenizer.emplace(Tokenizer::from_directory(options.model_dir));
        runtime.chat_format = chat_format_of(options.model_dir);
    }
    const numa::Topology topology = numa::discover_topology();
    const int n_threads = choose_threads(options, topology);
    runtime.team = std::make_unique<numa::Team>(numa::place_workers(topology, n_threads));
    const int kv_tokens = std::max(options.kv_tokens, context);
    const int chunk = options.chunk == 0 ? default_chunk_size(runtime.config) : options.chunk;
    ModelLimits limits{std::min(chunk, context),
                       (kv_tokens + device::kPageTokens - 1) / device::kPageTokens};
    runtime.device =
        make_device ? make_device(*runtime.team, isa) : choose_device(runtime, options, limits);
    const HostWeights host{runtime.device->overlaps_host(), limits.device_experts};
    if (host.has_gpu)
        limits.keep_cached =
            may_stay_cached(weight_bytes(runtime.config, runtime.checkpoint, context, host),
                            numa::available_memory(topology).total_bytes);
    RoutedExperts experts = load(runtime, options, topology, host);
    // Uploading reads each weight once; experts are many, and read by themselves.
    if (host.has_gpu)
        load_weights(runtime, "GPU weights",
                     [&](std::string_view name) { return lies_on_gpu(runtime.config, name); });
    runtime.model =
        std::make_unique<Model>(runtime.config, runtime.checkpoint, *runtime.device, *runtime.team,
                                kernels::table_for(isa), limits, std::move(experts));
    if (host.has_gpu && !limits.keep_cached) {
        log_line("GPU weights leave the page cache: memory is short of them beside the experts");
        drop_from_page_cache(runtime.checkpoint, [&](std::string_view name) {
            return is_used(runtime.config, name) && !stays_with_host(runtime.config, name, host);
        });
    }
    log_line(fmt::format(
        "running on {}; context {} tokens, at most {:.2f} GB of KV cache",
        runtime.device->describe(), context,
        static_cast<double>(KvPages::bytes_per_token(runtime.config)) * kv_tokens * 1e-9));
    runtime.load_s =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    return runtime;
}

}  // namespace baltoro
