#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "text/token_table.h"

namespace baltoro {

// Byte-pair merging: a piece that is a token is that token; else, starting from single bytes, the
// adjacent pair with the lowest rank is merged (the leftmost of equals) until none is left. The
// rank is the id. Immutable; any thread.
class BytePairEncoder {
  public:
    // Precondition: ranks contains all 256 single bytes.
    explicit BytePairEncoder(TokenTable ranks);

    // Appends the ids of a piece; n log n in its length.
    void encode(std::string_view piece, std::vector<std::int32_t>& ids) const;

    // Appends the ids of single bytes, unmerged.
    void encode_bytes(std::string_view bytes, std::vector<std::int32_t>& ids) const;

    const TokenTable& ranks() const noexcept { return ranks_; }

  private:
    std::int32_t rank_of(std::string_view bytes) const noexcept;
    void merge_short(std::string_view piece, std::vector<std::int32_t>& ids) const;
    void merge_long(std::string_view piece, std::vector<std::int32_t>& ids) const;

    TokenTable ranks_;
    std::array<std::int32_t, 256> byte_ids_;
    std::vector<std::int32_t> pair_ranks_;  // of two single bytes: most look-ups, without hashing
};

}  // namespace baltoro
