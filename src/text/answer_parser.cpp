#include "text/answer_parser.h"

#include <algorithm>
#include <array>
#include <utility>

namespace baltoro {
namespace {

// Of kMarkerSpellings, in their order.
constexpr std::array<Marker, kMarkerSpellings.size()> kMarkers = {
    Marker::section_begin, Marker::section_begin, Marker::section_end,
    Marker::section_end,   Marker::call_begin,    Marker::call_argument_begin,
    Marker::call_end,      Marker::think_begin,   Marker::think_end,
};

constexpr std::string_view kSpaces = " \t\n\r\f\v";
constexpr std::string_view kDigits = "0123456789";
constexpr std::string_view kPrefix = "functions.";

std::string_view without_leading_spaces(std::string_view text) noexcept {
    return text.substr(std::min(text.find_first_not_of(kSpaces), text.size()));
}

std::string_view without_trailing_spaces(std::string_view text) noexcept {
    return text.substr(0, text.find_last_not_of(kSpaces) + 1);
}

std::string_view trimmed(std::string_view text) noexcept {
    return without_trailing_spaces(without_leading_spaces(text));
}

// What stands before the ":N" at the end of a call's id; empty if it has none.
std::string_view before_counter(std::string_view id) noexcept {
    const std::size_t last = id.find_last_not_of(kDigits);
    if (last == std::string_view::npos || last + 1 == id.size() || id[last] != ':') return {};
    return id.substr(0, last);
}

void append_text(AnswerPart::Kind kind, std::string_view text, std::vector<AnswerPart>& parts) {
    if (!text.empty()) parts.push_back({.kind = kind, .text = std::string(text)});
}

}  // namespace

std::optional<Marker> marker_spelled(std::string_view text) noexcept {
    const auto found = std::find(kMarkerSpellings.begin(), kMarkerSpellings.end(), text);
    if (found == kMarkerSpellings.end()) return std::nullopt;
    return kMarkers[static_cast<std::size_t>(found - kMarkerSpellings.begin())];
}

std::optional<Marker> marker_of(const Tokenizer& tokenizer, std::int32_t id) {
    if (!tokenizer.is_special(id)) return std::nullopt;
    return marker_spelled(tokenizer.token_bytes(id)).value_or(Marker::other);
}

AnswerParser::AnswerParser(AnswerFormat format)
    : format_(std::move(format)),
      state_(format_.starts_in_reasoning ? State::reasoning : State::content) {}

void AnswerParser::push_text(std::string_view text, std::vector<AnswerPart>& parts) {
    switch (state_) {
        case State::content:
            return append_text(AnswerPart::Kind::content, text, parts);
        case State::reasoning:
            return append_text(AnswerPart::Kind::reasoning, text, parts);
        case State::section:
            return;
        case State::after_call:
            spaces_.append(text);
            if (without_leading_spaces(text).empty()) return;
            state_ = State::content;
            return append_text(AnswerPart::Kind::content, std::exchange(spaces_, {}), parts);
        case State::call_id:
            id_.append(text);
            return;
        case State::call_arguments:
            return push_arguments(text, parts);
    }
}

void AnswerParser::push_marker(Marker marker, std::vector<AnswerPart>& parts) {
    switch (marker) {
        case Marker::section_begin:
            close_call(true, parts);
            is_in_section_ = true;
            state_ = State::section;
            return;
        case Marker::section_end:
            close_call(true, parts);
            is_in_section_ = false;
            // A stray one inside thinking does not make the rest of the thoughts visible.
            if (state_ != State::reasoning) state_ = State::content;
            return;
        case Marker::call_begin:
            close_call(true, parts);
            id_.clear();
            state_ = State::call_id;
            return;
        case Marker::call_argument_begin:
            if (state_ == State::call_id) begin_arguments(parts);
            return;
        case Marker::call_end:
            return close_call(true, parts);
        case Marker::think_begin:
            // Code about such models has these words in its text; there they are nothing special.
            if (state_ == State::call_arguments) return push_arguments("<think>", parts);
            if (!format_.has_reasoning) return;
            if (state_ == State::content || state_ == State::after_call) state_ = State::reasoning;
            return;
        case Marker::think_end:
            if (state_ == State::call_arguments) return push_arguments("</think>", parts);
            if (state_ == State::reasoning) state_ = State::content;
            return;
        case Marker::other:
            return;
    }
}

void AnswerParser::finish(std::vector<AnswerPart>& parts) {
    // An id that was cut before its counter may be the start of another function's name.
    if (state_ == State::call_id && before_counter(trimmed(id_)).empty()) state_ = State::section;
    // What would be outer white space had the call been closed is still within its arguments.
    if (state_ == State::call_arguments && has_arguments_)
        append_arguments(std::exchange(spaces_, {}), parts);
    close_call(false, parts);
    state_ = State::content;
    is_in_section_ = false;
}

void AnswerParser::close_call(bool is_complete, std::vector<AnswerPart>& parts) {
    if (state_ == State::call_id) begin_arguments(parts);
    if (state_ != State::call_arguments) return;
    if (report_ == Report::held) report_held(parts);
    if (report_ != Report::nothing) {
        parts.push_back({.kind = AnswerPart::Kind::call_end,
                         .call_idx = n_calls_ - 1,
                         .is_complete = is_complete});
        if (is_complete) ++n_complete_calls_;
    }
    spaces_.clear();
    state_ = is_in_section_ ? State::section : State::after_call;
}

void AnswerParser::begin_arguments(std::vector<AnswerPart>& parts) {
    state_ = State::call_arguments;
    has_arguments_ = false;
    held_arguments_.clear();
    spaces_.clear();
    id_ = std::string(trimmed(id_));
    report_ = Report::nothing;
    function_.clear();
    if (format_.drops_calls) return;
    const std::string_view name = function_named_by(id_);
    function_ = name;
    if (!name.empty()) {
        report_ = Report::streamed;
        report_begin(name, parts);
    } else if (!format_.tools.empty()) {
        report_ = Report::held;
    }
}

void AnswerParser::push_arguments(std::string_view text, std::vector<AnswerPart>& parts) {
    if (report_ == Report::nothing) return;
    if (!has_arguments_) text = without_leading_spaces(text);
    const std::string_view solid = without_trailing_spaces(text);
    if (!solid.empty()) {
        has_arguments_ = true;
        append_arguments(std::exchange(spaces_, {}).append(solid), parts);
    }
    spaces_.append(text.substr(solid.size()));
}

void AnswerParser::append_arguments(std::string text, std::vector<AnswerPart>& parts) {
    if (text.empty()) return;
    if (report_ == Report::held) {
        held_arguments_.append(text);
    } else {
        parts.push_back({.kind = AnswerPart::Kind::call_arguments,
                         .text = std::move(text),
                         .call_idx = n_calls_ - 1});
    }
}

void AnswerParser::report_held(std::vector<AnswerPart>& parts) {
    if (!match_) match_.emplace(format_.tools);
    const std::string_view name = match_->only_tool_for(held_arguments_);
    if (name.empty()) {
        report_ = Report::nothing;
        return;
    }
    report_begin(name, parts);
    parts.push_back({.kind = AnswerPart::Kind::call_arguments,
                     .text = std::exchange(held_arguments_, {}),
                     .call_idx = n_calls_ - 1});
}

void AnswerParser::report_begin(std::string_view name, std::vector<AnswerPart>& parts) {
    parts.push_back({.kind = AnswerPart::Kind::call_begin,
                     .text = id_,
                     .name = std::string(name),
                     .call_idx = n_calls_++});
}

// Empty if the id names no function. An id of the model's own form names one even if nobody
// declared it: the client's error lets the model correct itself.
std::string_view AnswerParser::function_named_by(std::string_view id) const {
    const std::string_view counted = trimmed(before_counter(id));
    const std::string_view whole = counted.empty() ? id : counted;
    const std::string_view bare = whole.starts_with(kPrefix) ? whole.substr(kPrefix.size()) : whole;
    if (is_declared(bare)) return bare;
    if (is_declared(whole)) return whole;
    return counted.empty() ? std::string_view() : bare;
}

bool AnswerParser::is_declared(std::string_view name) const {
    return !name.empty() &&
           std::any_of(format_.tools.begin(), format_.tools.end(),
                       [&](const DeclaredTool& tool) { return tool.name == name; });
}

}  // namespace baltoro
