#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "engine/engine.h"
#include "sampling/token_trie.h"
#include "server/api_request.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace baltoro::server {

// A model that is ready to answer. Engine and tokenizer outlive every request that uses them.
struct ServedModel {
    Engine& engine;
    const Tokenizer& tokenizer;
    ChatFormat chat_format = ChatFormat::k2_instruct;
    ApiLimits limits;
    int n_parallel = 1;
    int max_position_embeddings = 0;
    std::size_t weight_bytes = 0;
    double load_s = 0.0;
    std::shared_ptr<const TokenTrie> vocabulary{};  // for answers that follow a schema
};

}  // namespace baltoro::server
