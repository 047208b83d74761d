#pragma once

#include <cstdint>
#include <string>

#include "model/checkpoint_check.h"
#include "model/config.h"
#include "weights/checkpoint.h"

namespace baltoro {

// What `baltoro inspect` shows: the facts of a checkpoint that decide whether and where it runs.
struct InspectReport {
    std::string directory;
    std::size_t n_shards = 0;
    std::uint64_t n_tensors = 0;
    std::uint64_t n_bytes = 0;  // of all tensors, ignored ones included
    ModelConfig config;
    CheckpointReport tensors;

    std::uint64_t kv_bytes_per_token = 0;      // bf16 latent and rotary key, all layers
    std::uint64_t host_bytes = 0;              // routed experts
    std::uint64_t device_bytes = 0;            // everything else that is used
    std::uint64_t routed_bytes_per_token = 0;  // read from memory for one decoded token
    std::uint64_t n_weights = 0;
    std::uint64_t n_active_weights = 0;  // per token, without the embedding table
};

InspectReport inspect_checkpoint(const ModelConfig& config, const Checkpoint& checkpoint);

std::string to_text(const InspectReport& report);
std::string to_json(const InspectReport& report);

}  // namespace baltoro
