#include "app/make_model.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "app/model_shapes.h"
#include "app/random_tensors.h"
#include "app/tokenizer_files.h"
#include "base/error.h"
#include "base/log.h"
#include "base/tensor_view.h"
#include "model/config.h"
#include "model/tensor_names.h"
#include "weights/safetensors.h"

namespace baltoro {
namespace {

namespace fs = std::filesystem;

// Shards of this size can be copied and resumed one at a time; a layer of the full model takes
// four.
constexpr std::uint64_t kMaxShardBytes = 5'000'000'000;
// For headers, the index and the tokenizer files.
constexpr std::uint64_t kSpareBytes = 64 << 20;

struct Shard {
    std::vector<ExpectedTensor> tensors;  // scales are not listed
    std::uint64_t n_bytes = 0;
};

// "model.layers.12.mlp..." -> "12"; empty for tensors outside the layers.
std::string_view layer_of(std::string_view name) {
    constexpr std::string_view kPrefix = "model.layers.";
    if (!name.starts_with(kPrefix)) return {};
    name.remove_prefix(kPrefix.size());
    return name.substr(0, name.find('.'));
}

std::uint64_t bytes_of(const ExpectedTensor& tensor) {
    std::uint64_t n_elements = 1;
    for (const std::int64_t n : tensor.shape)
        n_elements *= static_cast<std::uint64_t>(n);
    if (tensor.may_be_fp8) return n_elements + bytes_of(scale_of(tensor));
    const bool is_f32 = tensor.shape.size() == 1 && tensor.part == Part::router;
    return n_elements * dtype_bytes(is_f32 ? DType::f32 : tensor.accepted.front());
}

// One shard per layer, more where a layer is too large; the embeddings are with the first layer,
// the last norm and the head with the last.
std::vector<Shard> plan_shards(const ModelConfig& config) {
    std::vector<Shard> shards(1);
    std::string layer;
    for_each_expected_tensor(config, [&](const ExpectedTensor& tensor) {
        const std::string_view next = layer_of(tensor.name);
        const bool is_new_layer = !next.empty() && !layer.empty() && next != layer;
        const std::uint64_t n_bytes = bytes_of(tensor);
        const Shard& last = shards.back();
        const bool is_full = !last.tensors.empty() && last.n_bytes + n_bytes > kMaxShardBytes;
        if (is_new_layer || is_full) shards.emplace_back();
        if (!next.empty()) layer = next;
        shards.back().tensors.push_back(tensor);
        shards.back().n_bytes += n_bytes;
    });
    return shards;
}

void prepare_directory(const fs::path& directory) {
    std::error_code failure;
    fs::create_directories(directory, failure);
    if (!failure && !fs::is_directory(directory, failure) && !failure)
        failure = std::make_error_code(std::errc::not_a_directory);
    const bool is_empty = !failure && fs::is_empty(directory, failure);
    if (failure) {
        throw system_error(fmt::format("{}: cannot create the directory", directory.string()),
                           failure.value());
    }
    if (!is_empty) {
        throw Error(fmt::format("{}: is not empty; name a new or empty directory for the model",
                                directory.string()));
    }
}

void require_space(const fs::path& directory, std::uint64_t n_bytes) {
    std::error_code failure;
    const fs::space_info space = fs::space(directory, failure);
    if (failure) {
        throw system_error(directory.string() + ": cannot tell the free space", failure.value());
    }
    if (space.available >= n_bytes + kSpareBytes) return;
    throw Error(fmt::format("{}: the model takes {:.1f} GB and {:.1f} GB are free",
                            directory.string(), static_cast<double>(n_bytes) * 1e-9,
                            static_cast<double>(space.available) * 1e-9));
}

void write_text(const fs::path& path, const std::string& text) {
    const fs::path partial = path.string() + ".partial";
    std::FILE* file = std::fopen(partial.c_str(), "wb");
    if (file == nullptr) throw system_error(partial.string() + ": cannot create", errno);
    const bool is_written = std::fwrite(text.data(), 1, text.size(), file) == text.size();
    const bool is_closed = std::fclose(file) == 0;
    if (!is_written || !is_closed) throw system_error(partial.string() + ": cannot write", errno);
    std::error_code failure;
    fs::rename(partial, path, failure);
    if (failure) throw system_error(path.string() + ": cannot rename", failure.value());
}

std::vector<TensorToWrite> with_values(const Shard& shard, const RandomTensors& values) {
    std::vector<TensorToWrite> tensors;
    for (const ExpectedTensor& tensor : shard.tensors) {
        tensors.push_back(values.weight(tensor));
        if (tensor.may_be_fp8) tensors.push_back(values.scale(tensor));
    }
    return tensors;
}

// Writes the shards and, after them, the index.
MadeModel write_tensors(const fs::path& directory,
                        const std::vector<Shard>& shards,
                        const RandomTensors& values,
                        int n_threads) {
    MadeModel made{.n_shards = shards.size()};
    nlohmann::json weight_map = nlohmann::json::object();
    for (std::size_t i = 0; i < shards.size(); ++i) {
        const std::string file =
            fmt::format("model-{:05}-of-{:05}.safetensors", i + 1, shards.size());
        const std::vector<TensorToWrite> tensors = with_values(shards[i], values);
        write_safetensors((directory / file).string(), tensors, n_threads);
        for (const TensorToWrite& tensor : tensors)
            weight_map[tensor.name] = file;
        made.n_tensors += tensors.size();
        made.n_bytes += shards[i].n_bytes;
        log_line(fmt::format("{}: {} tensors, {:.2f} GB", file, tensors.size(),
                             static_cast<double>(shards[i].n_bytes) * 1e-9));
    }
    const nlohmann::json index = {{"metadata", {{"total_size", made.n_bytes}}},
                                  {"weight_map", std::move(weight_map)}};
    write_text(directory / "model.safetensors.index.json", index.dump(2) + "\n");
    return made;
}

}  // namespace

MadeModel make_model(const MakeModelCommand& command) {
    const std::string config_json =
        shape_config_json(command.shape, command.layers, command.experts);
    const fs::path directory = command.out_dir;
    const ModelConfig config =
        parse_model_config(config_json, {}, (directory / "config.json").string());
    const std::vector<Shard> shards = plan_shards(config);
    std::uint64_t n_bytes = 0;
    for (const Shard& shard : shards)
        n_bytes += shard.n_bytes;
    prepare_directory(directory);
    require_space(directory, n_bytes);
    const int base = config.vocab_size - kReservedTokens;
    write_text(directory / "config.json", config_json);
    write_text(directory / "generation_config.json", generation_config_json(base));
    write_text(directory / "tokenizer_config.json", tokenizer_config_json(base));
    write_text(directory / "tiktoken.model", rank_file_text(base));
    const int n_cores = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
    const RandomTensors values(command.seed);
    return write_tensors(directory, shards, values,
                         command.threads > 0 ? command.threads : n_cores);
}

}  // namespace baltoro
