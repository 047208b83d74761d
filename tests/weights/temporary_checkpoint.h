#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "weights/safetensors.h"

namespace baltoro::testing {

// A directory that goes away with the test.
struct TemporaryDirectory {
    TemporaryDirectory();
    ~TemporaryDirectory();
    TemporaryDirectory(const TemporaryDirectory&) = delete;
    TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;

    std::string file(const std::string& name) const { return (path / name).string(); }
    std::filesystem::path path;
};

// Writes the bytes to the file and returns its path.
std::string write_text(const std::string& path, std::string_view text);

// A safetensors file with this header and `n_data_bytes` zero bytes behind it.
std::string safetensors_text(std::string_view header, std::size_t n_data_bytes);

// A tensor of bytes that depend on their offset.
TensorToWrite counted_tensor(std::string name, DType dtype, std::vector<std::int64_t> shape);

// "key": value pairs of an index file that maps every tensor to its shard.
std::string index_text(const std::vector<std::pair<std::string, std::string>>& shard_of);

// Runs `open` and checks that it throws an Error whose message holds every one of `parts`, within
// one second, and without raising the process's peak memory by 64 MB.
void check_refused(const std::string& case_name,
                   const std::vector<std::string>& parts,
                   const std::function<void()>& open);

}  // namespace baltoro::testing
