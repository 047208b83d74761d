#include "sampling/token_trie.h"

#include <algorithm>
#include <array>
#include <utility>

#include <fmt/format.h>

#include "base/check.h"
#include "base/error.h"

namespace baltoro {

TokenTrie::TokenTrie(std::span<const std::string_view> bytes_of_ids,
                     std::span<const std::int32_t> stop_ids)
    : stop_ids_(stop_ids.begin(), stop_ids.end()) {
    first_byte_.push_back(0);
    for (std::size_t id = 0; id < bytes_of_ids.size(); ++id) {
        const std::string_view bytes = bytes_of_ids[id];
        if (bytes.size() > kMaxTokenBytes)
            throw Error(fmt::format("token {} has {} bytes; up to {} are expected", id,
                                    bytes.size(), kMaxTokenBytes));
        bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
        first_byte_.push_back(static_cast<std::uint32_t>(bytes_.size()));
        longest_ = std::max(longest_, bytes.size());
    }
    for (const std::int32_t id : stop_ids_)
        check(id >= 0 && static_cast<std::size_t>(id) < vocab_size(), "stop ids are tokens");

    std::vector<std::int32_t> sorted;
    for (std::size_t id = 0; id < bytes_of_ids.size(); ++id)
        if (!bytes_of_ids[id].empty()) sorted.push_back(static_cast<std::int32_t>(id));
    // The order of bytes is that of the walk.
    std::sort(sorted.begin(), sorted.end(), [this](std::int32_t a, std::int32_t b) {
        return std::pair(bytes_of(a), a) < std::pair(bytes_of(b), b);
    });
    std::string_view before;
    for (const std::int32_t id : sorted) {
        add_nodes_of(bytes_of(id), before);
        before = bytes_of(id);
        tokens_.push_back(id);
    }
    nodes_.push_back({.first_token = static_cast<std::uint32_t>(tokens_.size())});
    close_nodes();
}

void TokenTrie::add_nodes_of(std::string_view token, std::string_view token_before) {
    const auto same =
        std::mismatch(token.begin(), token.end(), token_before.begin(), token_before.end());
    for (auto byte = same.first; byte != token.end(); ++byte) {
        nodes_.push_back({.first_token = static_cast<std::uint32_t>(tokens_.size()),
                          .depth = static_cast<std::uint16_t>(byte - token.begin() + 1),
                          .byte = static_cast<std::uint8_t>(*byte)});
    }
}

void TokenTrie::close_nodes() {
    const auto n = static_cast<std::uint32_t>(nodes_.size() - 1);
    std::vector<std::uint32_t> open;  // the path to the current node
    std::array<bool, 256> is_token{};
    for (std::uint32_t i = 0; i < n; ++i) {
        const Node& node = nodes_[i];
        for (; open.size() >= node.depth; open.pop_back())
            nodes_[open.back()].end = i;
        open.push_back(i);
        if (node.depth == 1 && !tokens_at(i).empty()) is_token[node.byte] = true;
    }
    for (const std::uint32_t i : open)
        nodes_[i].end = n;
    const auto has_all = [&](int from, int to) {
        return std::all_of(is_token.begin() + from, is_token.begin() + to + 1,
                           [](bool is) { return is; });
    };
    has_all_text_bytes_ = has_all(0x20, 0x7e) && has_all(0x80, 0xbf) && has_all(0xc2, 0xf4);
}

bool TokenTrie::is_stop(std::int32_t id) const noexcept {
    return std::find(stop_ids_.begin(), stop_ids_.end(), id) != stop_ids_.end();
}

}  // namespace baltoro
