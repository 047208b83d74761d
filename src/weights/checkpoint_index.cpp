#include "weights/checkpoint_index.h"

#include <algorithm>
#include <cstdint>
#include <map>
#include <string_view>

#include <fmt/format.h>

#include "base/error.h"
#include "base/mapped_file.h"
#include "weights/strict_json.h"

namespace baltoro {
namespace {

constexpr int kMaxDepth = 8;
constexpr std::size_t kMaxIndexBytes = 200'000'000;  // Kimi-K2.5's has 23 MB

bool is_plain_file_name(std::string_view name) {
    return !name.empty() && name.size() <= 255 && name[0] != '.' && name.find('/') == name.npos &&
           name.find('\\') == name.npos && name.find('\0') == name.npos;
}

class IndexReader {
  public:
    explicit IndexReader(const std::string& path) : path_(path) {}

    void visit(JsonPath place, const JsonValue& value) {
        if (place.empty() && value.kind != JsonKind::object) fail("is not a JSON object");
        if (place.empty() || place[0] != "weight_map") return;
        if (place.size() == 1) {
            if (value.kind != JsonKind::object) fail("weight_map has to be an object");
            has_weight_map_ = true;
            return;
        }
        if (value.kind != JsonKind::string) {
            fail(fmt::format("weight_map: tensor {}: the shard has to be a string",
                             in_quotes(place[1])));
        }
        if (!is_plain_file_name(value.text)) {
            fail(fmt::format("weight_map: tensor {}: shard {} is not a plain file name",
                             in_quotes(place[1]), in_quotes(value.text)));
        }
        const auto [shard, is_new] = ids_.try_emplace(std::string(value.text), ids_.size());
        index_.shard_of[place[1]] = shard->second;
    }

    CheckpointIndex finish() {
        if (!has_weight_map_) fail("has no weight_map");
        if (index_.shard_of.empty()) fail("weight_map is empty");
        std::vector<std::size_t> rank(ids_.size());
        for (const auto& [name, id] : ids_) {
            rank[id] = index_.shards.size();
            index_.shards.push_back(name);
        }
        for (auto& [tensor, shard] : index_.shard_of)
            shard = rank[shard];
        return std::move(index_);
    }

  private:
    [[noreturn]] void fail(std::string_view reason) const {
        throw Error(fmt::format("{}: {}", path_, reason));
    }

    const std::string& path_;
    std::map<std::string, std::size_t> ids_;  // shard -> number in order of appearance
    bool has_weight_map_ = false;
    CheckpointIndex index_;
};

}  // namespace

CheckpointIndex read_checkpoint_index(const std::string& path) {
    const MappedFile file(path);
    const std::span<const std::byte> bytes = file.bytes();
    if (bytes.size() > kMaxIndexBytes) {
        throw Error(fmt::format("{}: has {} bytes, at most {} are accepted", path, bytes.size(),
                                kMaxIndexBytes));
    }
    IndexReader reader(path);
    const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    walk_json(text, path, kMaxDepth,
              [&](JsonPath place, const JsonValue& value) { reader.visit(place, value); });
    return reader.finish();
}

}  // namespace baltoro
