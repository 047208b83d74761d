#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "text/answer_parser.h"

namespace baltoro {

struct ParsedCall {
    std::string id;
    std::string name;
    std::string arguments;
    bool is_ended = false;
    bool is_complete = false;
    bool operator==(const ParsedCall&) const = default;
};

// The parts of an answer, put together.
struct ParsedAnswer {
    std::string content;
    std::string reasoning;
    std::vector<ParsedCall> calls;
    int n_complete_calls = 0;
    bool operator==(const ParsedAnswer&) const = default;
};

constexpr std::array<std::string_view, 10> kSpecialSpellings = {{
    "<|tool_calls_section_begin|>",
    "<|tool_calls_section_end|>",
    "<|tool_call_section_begin|>",
    "<|tool_call_section_end|>",
    "<|tool_call_begin|>",
    "<|tool_call_argument_begin|>",
    "<|tool_call_end|>",
    "<think>",
    "</think>",
    "<|im_end|>",
}};

// The answer to a text in which spellings of markers are markers. Checks that it is the same when
// the text is cut at every code point and at random ones, and what every reader of parts relies on:
// no empty texts, calls one after the other.
ParsedAnswer parsed(std::string_view text, const AnswerFormat& format = {});

inline DeclaredTool tool(std::string name, std::string_view required, std::string_view properties) {
    return {std::move(name), std::string(R"({"type":"object","required":)")
                                 .append(required)
                                 .append(R"(,"properties":)")
                                 .append(properties)
                                 .append("}")};
}

inline std::string call_text(std::string_view id, std::string_view arguments) {
    return std::string("<|tool_call_begin|>")
        .append(id)
        .append("<|tool_call_argument_begin|>")
        .append(arguments)
        .append("<|tool_call_end|>");
}

inline std::string section_text(std::string_view calls) {
    return std::string("<|tool_calls_section_begin|>")
        .append(calls)
        .append("<|tool_calls_section_end|>");
}

}  // namespace baltoro
