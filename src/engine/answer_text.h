#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "engine/request.h"
#include "engine/stop_texts.h"
#include "text/answer_parser.h"
#include "text/answer_parts.h"
#include "text/tokenizer.h"
#include "text/utf8_stream.h"

namespace baltoro {

// Turns an answer's tokens into parts as they are drawn: bytes become whole code points, markers
// tell content from reasoning and tool calls, stop texts end the content. The parts do not depend
// on how the text is split into tokens. One owner, one thread.
class AnswerText {
  public:
    // What of a request concerns its text. The tokenizer must outlive this object.
    AnswerText(const Tokenizer& tokenizer, const Request& request);

    // One token that belongs to the answer; new parts are appended to `parts`. True if the answer
    // ends with it: a stop text was met, or the only call that is wanted is complete.
    bool push(std::int32_t id, std::vector<AnswerPart>& parts);

    // The answer is over: gives out what was held back.
    void finish(std::vector<AnswerPart>& parts);

    // Whether the next token is content: neither reasoning nor part of a tool call.
    bool is_content() const noexcept { return !is_reasoning_ && !is_in_call_; }

    // The tool of whose arguments the next token is part; empty if it is not.
    std::string_view open_tool() const noexcept { return parser_.open_function(); }

    const std::string& stop_text() const noexcept { return stop_texts_.met(); }
    int n_reasoning_tokens() const noexcept { return n_reasoning_tokens_; }

  private:
    void note_marker(Marker marker) noexcept;
    void push_text(std::string_view text);
    void pass_on(std::vector<AnswerPart>& parts);
    void flush_content(std::vector<AnswerPart>& parts);

    const Tokenizer& tokenizer_;
    AnswerKind kind_;
    bool one_call_only_;
    bool has_reasoning_;
    bool is_reasoning_;
    bool is_in_call_ = false;
    Utf8Stream utf8_;
    AnswerParser parser_;
    StopTexts stop_texts_;
    std::vector<AnswerPart> parsed_;  // of the current token, before stop texts are looked for
    int n_reasoning_tokens_ = 0;
};

}  // namespace baltoro
