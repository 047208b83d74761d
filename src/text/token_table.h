#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace baltoro {

// Byte strings and their ids, in both directions; ids may have gaps. Filled by one thread, then
// read by any. The map from bytes to id is open addressing over 8-byte slots, so that a miss, which
// merging asks for most, touches one cache line.
class TokenTable {
  public:
    TokenTable();

    // Adds a token and returns -1, or changes nothing and returns the id that has these bytes.
    // Precondition: bytes are not empty, id >= 0 and not contained.
    std::int32_t add(std::string_view bytes, std::int32_t id);

    // The id of these bytes, or -1.
    std::int32_t find(std::string_view bytes) const noexcept;

    // Empty for an id that is not contained. Precondition: id >= 0.
    std::string_view bytes(std::int32_t id) const noexcept {
        if (id >= size()) return {};
        const Span& span = spans_[static_cast<std::size_t>(id)];
        return {blob_.data() + span.begin, span.length};
    }
    bool contains(std::int32_t id) const noexcept { return !bytes(id).empty(); }

    // One past the largest id, and the number of tokens.
    std::int32_t size() const noexcept { return static_cast<std::int32_t>(spans_.size()); }
    std::int32_t n_tokens() const noexcept { return n_tokens_; }
    std::size_t max_token_bytes() const noexcept { return max_token_bytes_; }

  private:
    struct Span {
        std::uint32_t begin = 0;
        std::uint32_t length = 0;
    };
    struct Slot {
        std::uint32_t tag = 0;
        std::int32_t id = -1;
    };
    void grow();
    void place(Slot slot, std::uint64_t hash) noexcept;

    std::string blob_;
    std::vector<Span> spans_;
    std::vector<Slot> slots_;  // a power of two
    std::int32_t n_tokens_ = 0;
    std::size_t max_token_bytes_ = 0;
};

}  // namespace baltoro
