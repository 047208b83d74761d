#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "text/answer_parts.h"
#include "text/tokenizer.h"

namespace baltoro {

// What a special token means inside an answer.
enum class Marker : std::uint8_t {
    section_begin,
    section_end,
    call_begin,
    call_argument_begin,
    call_end,
    think_begin,
    think_end,
    other,  // any other special token: it never reaches the client
};

// The marker that a token stands for; absent for ordinary tokens.
std::optional<Marker> marker_of(const Tokenizer& tokenizer, std::int32_t id);

struct AnswerFormat {
    std::vector<DeclaredTool> tools;
    bool has_reasoning = false;        // the model thinks: <think> opens reasoning
    bool starts_in_reasoning = false;  // the prompt has opened <think> already
    bool drops_calls = false;          // tool_choice none: calls are neither content nor calls
};

// Splits an answer into content, reasoning and tool calls while it is being written. Markers are
// told apart from text by the caller, so text can never forge one. One owner, one thread.
class AnswerParser {
  public:
    explicit AnswerParser(AnswerFormat format);

    // Whole code points of ordinary text. Parts are appended to `parts`.
    void push_text(std::string_view text, std::vector<AnswerPart>& parts);
    void push_marker(Marker marker, std::vector<AnswerPart>& parts);

    // The answer is over: gives out what was held back; an open call reports what it has.
    void finish(std::vector<AnswerPart>& parts);

    // Calls that the model has closed so far.
    int n_complete_calls() const noexcept { return n_complete_calls_; }

  private:
    int n_complete_calls_ = 0;
};

}  // namespace baltoro
