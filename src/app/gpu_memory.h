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
    std::uint64_t experts = 0;      // routed experts that live there
    int kv_tokens = 0;              // in the cache

    std::uint64_t total() const noexcept { return weights + kv_cache + activations + experts; }
};

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

// "GPU memory: weights 10.51 GB, KV cache 9.20 GB (131072 tokens), activations 1.20 GB, experts
// 0.00 GB; 20.91 of 79.10 GB"
std::string gpu_memory_line(const GpuMemoryPlan& plan, std::uint64_t available);

// How many routed experts of each layer live on the GPU. `wish` is --gpu-experts: a number, or
// auto, which takes what is left of the memory.
int choose_gpu_experts(const std::string& wish,
                       const GpuMemoryPlan& plan,
                       std::uint64_t available,
                       std::uint64_t expert_bytes,
                       const ModelConfig& config);

// Throws Error with the numbers and the option that would help if the plan does not fit.
void require_gpu_memory(const GpuMemoryPlan& plan,
                        std::uint64_t available,
                        const ModelConfig& config);

}  // namespace baltoro
