#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace baltoro {

// Reads a JSON list of token ids. Throws Error naming the file, the index and what was found.
std::vector<std::int32_t> read_token_file(const std::string& path);

}  // namespace baltoro
