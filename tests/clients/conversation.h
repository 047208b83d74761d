#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "text/tokenizer.h"

namespace baltoro::testing {

// A conversation as a model meets it: a sequence of token ids.
struct Conversation {
    bool is_chat = false;  // it has a generation prompt
    std::string heard;     // turns of users and tools since the model's last one; or all the text
    std::string written;   // of the answer, after the generation prompt
};

// Takes the turns of the chat format apart by its special tokens, which text cannot forge.
Conversation read_conversation(const Tokenizer& tokenizer, std::span<const std::int32_t> ids);

}  // namespace baltoro::testing
