#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace baltoro {

// A piece of an answer, in the order in which it was written. Texts are whole code points and
// concatenate: any split of the same answer gives the same whole.
struct AnswerPart {
    enum class Kind : std::uint8_t {
        content,         // text: more of the visible answer
        reasoning,       // text: more of the thinking
        call_begin,      // call_idx, name, text: the id as the model wrote it, trimmed
        call_arguments,  // call_idx, text: more of the arguments, as the model wrote them
        call_end,        // call_idx; is_complete tells whether the model closed the call
    };
    Kind kind = Kind::content;
    std::string text{};
    std::string name{};
    int call_idx = 0;  // calls of this answer, from 0
    bool is_complete = true;
};

// A function that the client declared.
struct DeclaredTool {
    std::string name;
    std::string parameters_json;  // its JSON schema; empty if none was given
};

}  // namespace baltoro
