#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "model/config.h"
#include "weights/checkpoint.h"

namespace baltoro {

// What a GPU takes off the host's memory.
struct HostWeights {
    bool has_gpu = false;  // dense weights and the KV cache lie there
    int gpu_experts = 0;   // of each layer; at first those with the lowest numbers
};

// Whether the host reads the tensor while the model runs; false too for what nobody reads.
bool stays_with_host(const ModelConfig& config, std::string_view name, const HostWeights& host);

// Bytes of the host's memory for dense weights and a KV cache of so many tokens.
std::uint64_t bytes_beside_experts(const ModelConfig& config,
                                   const Checkpoint& checkpoint,
                                   int kv_tokens,
                                   const HostWeights& host);

// Bytes that the host reads while the model runs and keeps, with a KV cache of so many tokens where
// there is no GPU; and bytes of the checkpoint that lie on the GPU alone.
struct WeightBytes {
    std::uint64_t host = 0;
    std::uint64_t gpu = 0;
};
WeightBytes weight_bytes(const ModelConfig& config,
                         const Checkpoint& checkpoint,
                         int kv_tokens,
                         const HostWeights& host);

// Whether the files' pages of what lies on the GPU may stay in the page cache, where the next start
// finds them: if both sides' bytes fit the memory that is available before they are loaded, with a
// sixteenth of it to spare for everything else. Where they do not they leave it: they would be in
// the way of experts, some of which every token reads.
bool may_stay_cached(const WeightBytes& bytes, std::uint64_t available) noexcept;

// experts::Placement::lives_elsewhere; empty if all live with the host.
std::vector<bool> experts_elsewhere(const ModelConfig& config, const HostWeights& host);

}  // namespace baltoro
