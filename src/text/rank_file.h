#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "text/token_table.h"

namespace baltoro {

// Ids stay below this, so that a damaged file cannot ask for tables of any size.
constexpr std::int32_t kMaxTokenId = 4'194'303;

// Larger rank files are refused; Kimi's has 2.8 MB.
constexpr std::size_t kMaxRankFileBytes = std::size_t{256} << 20;

// Reads a tiktoken rank file: one "base64 rank" per line. Gaps between ranks give one warning line.
// Throws Error naming `source`, the line and what is wrong with it: bad base64, an empty or
// repeated token, a rank that is repeated or no number in range, trailing bytes, one of the 256
// single bytes missing.
TokenTable parse_rank_file(std::string_view text, const std::string& source);

}  // namespace baltoro
