#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "text/token_table.h"

namespace baltoro {

using SpecialTokenList = std::vector<std::pair<std::string, std::int32_t>>;

// added_tokens_decoder of a tokenizer_config.json; empty if it has none. Throws Error naming
// `source` and the entry: bad JSON, wrong types, repeated, negative or too large ids, repeated or
// empty contents.
SpecialTokenList parse_added_tokens(const std::string& json_text, const std::string& source);

// Kimi's own special tokens, after the last of `n_ranks` ranks.
SpecialTokenList kimi_special_tokens(std::int32_t n_ranks);

// Adds "<|reserved_token_{id}|>" for every unnamed id of the 256 slots after the last rank.
void fill_reserved_slots(std::int32_t n_ranks, SpecialTokenList& tokens);

// The spellings that stand for one id each. Immutable; any thread.
class SpecialTokens {
  public:
    // Throws Error naming `source` if two tokens share id or text, or one has the id of a rank.
    SpecialTokens(const SpecialTokenList& tokens,
                  const TokenTable& ranks,
                  const std::string& source);

    struct Found {
        std::size_t begin, end;
        std::int32_t id;
    };
    // The first special token in text, the longest at its place.
    std::optional<Found> find_first(std::string_view text) const noexcept;

    const TokenTable& table() const noexcept { return table_; }

  private:
    TokenTable table_;
    std::vector<std::size_t> lengths_;  // longest first
    std::string first_bytes_;
};

}  // namespace baltoro
