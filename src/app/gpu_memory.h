#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "app/options.h"
#include "device/gpu_scratch_sizes.h"
#include "model/config.h"
#include "weights/checkpoint.h"

namespace baltoro {

// What a model needs of a GPU's memory, in bytes.
struct GpuMemoryPlan {
    std::uint64_t weights = 0;  // attention, shared experts, dense layers, head
    std::uint64_t kv_cache = 0;
    std::uint64_t activations = 0;  // of the largest step, with all scratch
    std::uint64_t graphs = 0;       // an allowance, see gpu_graph_bytes()
    std::uint64_t experts = 0;      // routed experts that live there
    int kv_tokens = 0;              // in the cache
    int n_graphs = 0;
    int n_experts = 0;  // of each layer

    std::uint64_t total() const noexcept {
        return weights + kv_cache + activations + graphs + experts;
    }
};

// What is set aside for one recorded decode step: an estimate and no measurement of ours, for CUDA
// does not say what a graph will take. It counts 24 launches a layer (an MoE layer with experts on
// the GPU has 22) of 64 KiB each: 500, 1000 and 2000 empty kernels took 362, 395 and 458 MB of a
// GPU with driver 470 (forums.developer.nvidia.com/t/244901), 63 to 66 kB a kernel. Newer drivers
// may take less. K2: 96 MB.
std::uint64_t gpu_graph_bytes(const ModelConfig& config) noexcept;

// Whether a dense tensor is copied to the GPU: the embedding table only where it is the head too.
bool lies_on_gpu(const ModelConfig& config, std::string_view name);

// The shapes of the largest step of `max_rows` rows over contexts of `context_size` tokens; with
// routed experts on the GPU if has_experts.
device::GpuStepShapes gpu_step_shapes(const ModelConfig& config,
                                      const Checkpoint& checkpoint,
                                      int max_rows,
                                      int context_size,
                                      bool has_experts);

GpuMemoryPlan plan_gpu_memory(const ModelConfig& config,
                              const Checkpoint& checkpoint,
                              const device::GpuStepShapes& shapes,
                              int kv_tokens);

// "GPU memory: weights 10.51 GB, KV cache 9.20 GB (131072 tokens), activations 1.20 GB, 16 graphs
// about 1.54 GB, experts 0.00 GB; 22.45 of 79.10 GB"
std::string gpu_memory_line(const GpuMemoryPlan& plan, std::uint64_t available);

// What may be kept in the memory that the rest of a plan leaves.
struct GpuWishes {
    std::string experts = "0";  // --gpu-experts: a number of each layer, or auto, which takes the
                                // memory that is left
    int graphs = 0;             // at most, --gpu-graphs
};

// Adds graphs and experts to a plan: first experts where their number is given, then as many graphs
// as are wished and fit, then experts that take what is left.
void add_wishes(GpuMemoryPlan& plan,
                const GpuWishes& wishes,
                std::uint64_t available,
                std::uint64_t expert_bytes,
                const ModelConfig& config);

// Throws Error with the numbers and the option that would help if the plan does not fit.
void require_gpu_memory(const GpuMemoryPlan& plan,
                        std::uint64_t available,
                        const ModelConfig& config);

}  // namespace baltoro
