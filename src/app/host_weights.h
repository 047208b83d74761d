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

// experts::Placement::lives_elsewhere; empty if all live with the host.
std::vector<bool> experts_elsewhere(const ModelConfig& config, const HostWeights& host);

}  // namespace baltoro
