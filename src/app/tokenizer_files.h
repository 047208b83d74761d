#pragma once

#include <string>

namespace baltoro {

// Text of a tiktoken.model with `n_ranks` ranks: the single bytes in the order of Kimi's file, then
// pairs of them, then pairs followed by a byte. Precondition: 256 <= n_ranks <= 2^24.
std::string rank_file_text(int n_ranks);

// tokenizer_config.json with Kimi's special tokens, the first of which has the id `base`.
std::string tokenizer_config_json(int base);

// generation_config.json of a Kimi model.
std::string generation_config_json(int base);

}  // namespace baltoro
