#pragma once

#include <cstddef>
#include <string>

#include "engine/engine.h"
#include "server/answer_vocabulary.h"
#include "server/api_request.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace baltoro::server {

// A model that is ready to answer. What it refers to outlives every request that uses it.
struct ServedModel {
    Engine& engine;
    const Tokenizer& tokenizer;
    AnswerVocabulary& vocabulary;
    ChatFormat chat_format = ChatFormat::k2_instruct;
    ApiLimits limits;
    int n_parallel = 1;
    int max_position_embeddings = 0;
    std::size_t weight_bytes = 0;
    double load_s = 0.0;
};

}  // namespace baltoro::server
