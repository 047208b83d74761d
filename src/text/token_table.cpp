#include "text/token_table.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"

namespace baltoro {
namespace {

// Multiply and fold over words; not meant to withstand an adversary, who could only choose ranks.
std::uint64_t hash_of(std::string_view bytes) noexcept {
    constexpr std::uint64_t kMultiplier = 0x9e3779b97f4a7c15ull;
    std::uint64_t hash = bytes.size() * kMultiplier;
    while (bytes.size() > 8) {
        std::uint64_t word = 0;
        std::memcpy(&word, bytes.data(), 8);
        hash = (hash ^ word) * kMultiplier;
        hash ^= hash >> 32;
        bytes.remove_prefix(8);
    }
    std::uint64_t word = 0;
    std::memcpy(&word, bytes.data(), bytes.size());
    hash = (hash ^ word) * kMultiplier;
    hash = (hash ^ (hash >> 29)) * 0xbf58476d1ce4e5b9ull;
    return hash ^ (hash >> 32);
}

std::uint32_t tag_of(std::uint64_t hash) noexcept {
    return static_cast<std::uint32_t>(hash >> 32);
}

}  // namespace

TokenTable::TokenTable() : slots_(1024) {}

std::int32_t TokenTable::add(std::string_view bytes, std::int32_t id) {
    check(!bytes.empty() && id >= 0 && !contains(id), "a token has bytes and an id of its own");
    if (const std::int32_t known = find(bytes); known >= 0) return known;
    if (slots_.size() < 2 * static_cast<std::size_t>(n_tokens_ + 1)) grow();
    if (id >= size()) spans_.resize(static_cast<std::size_t>(id) + 1);
    spans_[static_cast<std::size_t>(id)] = {static_cast<std::uint32_t>(blob_.size()),
                                            static_cast<std::uint32_t>(bytes.size())};
    blob_.append(bytes);
    const std::uint64_t hash = hash_of(bytes);
    place({tag_of(hash), id}, hash);
    ++n_tokens_;
    max_token_bytes_ = std::max(max_token_bytes_, bytes.size());
    return -1;
}

std::int32_t TokenTable::find(std::string_view text) const noexcept {
    if (text.empty()) return -1;
    const std::uint64_t hash = hash_of(text);
    const std::size_t mask = slots_.size() - 1;
    for (std::size_t i = hash & mask;; i = (i + 1) & mask) {
        const Slot slot = slots_[i];
        if (slot.id < 0) return -1;
        if (slot.tag == tag_of(hash) && bytes(slot.id) == text) return slot.id;
    }
}

void TokenTable::grow() {
    slots_.assign(2 * slots_.size(), Slot{});
    for (std::int32_t id = 0; id < size(); ++id) {
        if (!contains(id)) continue;
        const std::uint64_t hash = hash_of(bytes(id));
        place({tag_of(hash), id}, hash);
    }
}

void TokenTable::place(Slot slot, std::uint64_t hash) noexcept {
    const std::size_t mask = slots_.size() - 1;
    std::size_t i = hash & mask;
    while (slots_[i].id >= 0)
        i = (i + 1) & mask;
    slots_[i] = slot;
}

}  // namespace baltoro
