#include "weights/checkpoint.h"

#include <algorithm>
#include <filesystem>
#include <optional>
#include <thread>
#include <utility>

#include <fmt/format.h>

#include "base/error.h"
#include "base/log.h"
#include "weights/checkpoint_index.h"
#include "weights/parallel.h"
#include "weights/strict_json.h"

namespace baltoro {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kIndexName = "model.safetensors.index.json";
constexpr std::string_view kSingleName = "model.safetensors";
constexpr std::string_view kPrefix = "language_model.";

std::string_view without_prefix(std::string_view name) {
    if (name.starts_with(kPrefix)) name.remove_prefix(kPrefix.size());
    return name;
}

std::string describe(DType dtype, std::span<const std::int64_t> shape) {
    return fmt::format("{} [{}]", dtype_name(dtype), fmt::join(shape, ", "));
}

// Reading 61 headers from a cold disk is a matter of latency, hence more threads than cores.
std::vector<SafetensorsFile> open_shards(const std::string& directory,
                                         const std::vector<std::string>& names) {
    std::vector<std::optional<SafetensorsFile>> opened(names.size());
    for_each_index(names.size(), 8, [&](std::size_t i) {
        try {
            opened[i].emplace(directory + "/" + names[i]);
        } catch (const Error& error) {
            throw with_context(fmt::format("shard {} of {}", i + 1, names.size()), error);
        }
    });
    std::vector<SafetensorsFile> shards;
    shards.reserve(opened.size());
    for (std::optional<SafetensorsFile>& shard : opened)
        shards.push_back(std::move(*shard));
    return shards;
}

// A tensor of a shard on its way into the map.
struct Found {
    std::string_view full_name;  // as in the shard
    const SafetensorsFile* shard;
    const TensorEntry* entry;
    std::string_view name() const { return without_prefix(full_name); }
};

void reject_duplicates(const std::vector<Found>& sorted) {
    const auto twice =
        std::adjacent_find(sorted.begin(), sorted.end(),
                           [](const Found& a, const Found& b) { return a.name() == b.name(); });
    if (twice == sorted.end()) return;
    throw Error(fmt::format("{}: tensor {} is a duplicate: {} has it too", twice[1].shard->path(),
                            in_quotes(twice[1].full_name), twice[0].shard->path()));
}

// Every tensor of the index has to lie in the shard that the index names.
void check_against_index(const std::string& directory,
                         const CheckpointIndex& index,
                         const std::vector<SafetensorsFile>& shards,
                         const std::vector<Found>& found) {
    std::size_t n_matched = 0;
    for (const Found& tensor : found) {
        const std::size_t listed = index.shard_of.at(std::string(tensor.full_name));
        if (&shards[listed] != tensor.shard) {
            throw Error(fmt::format("{}: tensor {} lies here, but {} puts it into {}",
                                    tensor.shard->path(), in_quotes(tensor.full_name), kIndexName,
                                    index.shards[listed]));
        }
        ++n_matched;
    }
    if (n_matched == index.shard_of.size()) return;
    std::map<std::string_view, bool> present;
    for (const Found& tensor : found)
        present[tensor.full_name] = true;
    for (const auto& [name, shard] : index.shard_of) {
        if (present.contains(name)) continue;
        throw Error(fmt::format("{}/{}: tensor {} is missing from this shard, where {} puts it",
                                directory, index.shards[shard], in_quotes(name), kIndexName));
    }
}

}  // namespace

Checkpoint::Checkpoint(const std::string& directory) : directory_(directory) {
    std::error_code ignored;
    if (!fs::is_directory(directory, ignored))
        throw Error(fmt::format("{}: is not a directory with a checkpoint", directory));
    const std::string index_path = fmt::format("{}/{}", directory, kIndexName);
    if (fs::exists(fs::symlink_status(index_path, ignored))) {
        const CheckpointIndex index = read_checkpoint_index(index_path);
        shards_ = open_shards(directory, index.shards);
        add_tensors(&index);
        return;
    }
    const std::string single_path = fmt::format("{}/{}", directory, kSingleName);
    if (!fs::exists(fs::symlink_status(single_path, ignored))) {
        throw Error(fmt::format("{}: has neither {} nor {}", directory, kIndexName, kSingleName));
    }
    shards_.emplace_back(single_path);
    add_tensors(nullptr);
}

void Checkpoint::add_tensors(const CheckpointIndex* index) {
    std::vector<Found> found;
    std::size_t n_unlisted = 0;
    std::string_view unlisted;
    for (const SafetensorsFile& shard : shards_) {
        for (const TensorEntry& entry : shard.entries()) {
            if (index != nullptr && !index->shard_of.contains(entry.name)) {
                ++n_unlisted;
                unlisted = entry.name;
                continue;
            }
            found.push_back({entry.name, &shard, &entry});
        }
    }
    if (n_unlisted > 0) {
        log_warning(fmt::format("{}: {} tensors are in no index and are left out, for example {}",
                                directory_, n_unlisted, in_quotes(unlisted)));
    }
    std::stable_sort(found.begin(), found.end(),
                     [](const Found& a, const Found& b) { return a.name() < b.name(); });
    reject_duplicates(found);
    if (index != nullptr) check_against_index(directory_, *index, shards_, found);
    for (const Found& tensor : found) {
        tensors_.emplace_hint(tensors_.end(), tensor.name(), tensor.shard->view(*tensor.entry));
    }
}

const TensorView* Checkpoint::find(std::string_view name) const noexcept {
    const auto tensor = tensors_.find(name);
    return tensor == tensors_.end() ? nullptr : &tensor->second;
}

const TensorView& Checkpoint::require(std::string_view name,
                                      DType dtype,
                                      std::initializer_list<std::int64_t> shape) const {
    const TensorView* tensor = find(name);
    if (tensor == nullptr)
        throw Error(fmt::format("tensor {} is missing from {}", name, directory_));
    if (tensor->dtype == dtype && std::ranges::equal(tensor->shape, shape)) return *tensor;
    throw Error(fmt::format("{}: tensor {}: expected {}, found {}", shard_of(name), name,
                            describe(dtype, {shape.begin(), shape.size()}),
                            describe(tensor->dtype, tensor->shape)));
}

std::string Checkpoint::shard_of(std::string_view name) const {
    const TensorView* tensor = find(name);
    if (tensor == nullptr) return {};
    for (const SafetensorsFile& shard : shards_) {
        const std::span<const std::byte> bytes = shard.file().bytes();
        if (tensor->data >= bytes.data() && tensor->data <= bytes.data() + bytes.size())
            return shard.path();
    }
    return {};
}

std::uint64_t Checkpoint::total_bytes() const noexcept {
    std::uint64_t total = 0;
    for (const auto& [name, tensor] : tensors_)
        total += tensor.size_bytes;
    return total;
}

}  // namespace baltoro
