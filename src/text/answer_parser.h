#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "text/answer_parts.h"
#include "text/tokenizer.h"
#include "text/tool_match.h"

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

// The spellings of all markers but `other`; sections have a plural and a singular one.
inline constexpr std::array<std::string_view, 9> kMarkerSpellings = {{
    "<|tool_calls_section_begin|>",
    "<|tool_call_section_begin|>",
    "<|tool_calls_section_end|>",
    "<|tool_call_section_end|>",
    "<|tool_call_begin|>",
    "<|tool_call_argument_begin|>",
    "<|tool_call_end|>",
    "<think>",
    "</think>",
}};

// The marker of one of these spellings; absent for other texts.
std::optional<Marker> marker_spelled(std::string_view text) noexcept;

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

    // The function whose arguments are being written; empty elsewhere, and for a call whose id
    // names none.
    std::string_view open_function() const noexcept {
        return state_ == State::call_arguments ? std::string_view(function_) : std::string_view();
    }

    // Calls that the model has closed so far.
    int n_complete_calls() const noexcept { return n_complete_calls_; }

  private:
    enum class State : std::uint8_t {
        content,
        reasoning,
        section,        // inside a section, outside a call: text goes nowhere
        after_call,     // after a call that stood in no section: white space is not content yet
        call_id,        // between the call's marker and the arguments' marker
        call_arguments  // up to the call's end
    };
    enum class Report : std::uint8_t {
        streamed,  // the arguments go out as they come
        held,      // the id names no function: the arguments tell which one it is
        nothing,
    };

    void close_call(bool is_complete, std::vector<AnswerPart>& parts);
    void begin_arguments(std::vector<AnswerPart>& parts);
    void push_arguments(std::string_view text, std::vector<AnswerPart>& parts);
    void append_arguments(std::string text, std::vector<AnswerPart>& parts);
    void report_held(std::vector<AnswerPart>& parts);
    void report_begin(std::string_view name, std::vector<AnswerPart>& parts);
    std::string_view function_named_by(std::string_view id) const;
    bool is_declared(std::string_view name) const;

    AnswerFormat format_;
    std::optional<ToolMatch> match_;  // made for the first call that needs it
    State state_;
    Report report_ = Report::nothing;
    bool is_in_section_ = false;
    bool has_arguments_ = false;  // more than white space has come
    std::string id_;
    std::string function_;  // of the latest call
    std::string held_arguments_;
    std::string spaces_;  // held back: they count only if more text follows
    int n_calls_ = 0;     // reported
    int n_complete_calls_ = 0;
};

}  // namespace baltoro
