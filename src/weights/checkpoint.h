#pragma once

#include <cstdint>
#include <initializer_list>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "weights/safetensors.h"

namespace baltoro {

struct CheckpointIndex;

// A directory in the Hugging Face layout: model.safetensors.index.json with shards, or one
// model.safetensors. Tensors are mapped, never copied. Names are given without a leading
// "language_model." prefix. Tensors that lie in a shard but not in the index are left out, with one
// warning. Owns the shards; immutable, any thread.
class Checkpoint {
  public:
    // Opens every shard and checks index and headers against each other. Throws Error naming file,
    // tensor and reason (missing shard, tensor in the index but not in its shard, and so on).
    explicit Checkpoint(const std::string& directory);

    // The tensor, or a null pointer. Valid as long as the checkpoint.
    const TensorView* find(std::string_view name) const noexcept;

    // The tensor; throws Error "tensor NAME is missing from DIR" if absent, and an Error naming the
    // shard, what was expected and what was found if dtype or shape differ.
    const TensorView& require(std::string_view name,
                              DType dtype,
                              std::initializer_list<std::int64_t> shape) const;

    // The path of the shard that holds the tensor, for messages; empty if absent.
    std::string shard_of(std::string_view name) const;

    const std::string& directory() const noexcept { return directory_; }
    const std::map<std::string, TensorView, std::less<>>& tensors() const noexcept {
        return tensors_;
    }
    const std::vector<SafetensorsFile>& shards() const noexcept { return shards_; }
    std::uint64_t total_bytes() const noexcept;

  private:
    void add_tensors(const CheckpointIndex* index);

    std::string directory_;
    std::vector<SafetensorsFile> shards_;
    std::map<std::string, TensorView, std::less<>> tensors_;
};

}  // namespace baltoro
