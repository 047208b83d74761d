#pragma once

#include <cstddef>
#include <string>
#include <unordered_map>
#include <vector>

namespace baltoro {

// model.safetensors.index.json: which shard holds which tensor.
struct CheckpointIndex {
    std::vector<std::string> shards;                        // file names, sorted
    std::unordered_map<std::string, std::size_t> shard_of;  // tensor name -> index into `shards`
};

// Throws Error naming file, tensor and reason. Shard names have to be plain file names, so that an
// index cannot point out of its directory.
CheckpointIndex read_checkpoint_index(const std::string& path);

}  // namespace baltoro
