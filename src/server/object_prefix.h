#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "server/json_fields.h"

namespace baltoro::server {

// How much of a text, while it is being written, may go to clients that read what they have so far
// as the beginning of a JSON object, as Anthropic's SDKs do: everything up to the first byte that
// no such text can have there, less an escape that is not complete, and less the end of a value
// until what follows shows that it was the end. A quotation mark within a text that the writer
// forgot to escape, or a number that was cut, then leaves a value that is open, not one that looks
// whole. Says nothing about UTF-8 and about numbers that are too large. One owner, one thread.
class ObjectPrefix {
  public:
    // More of the text.
    void push(std::string_view text) noexcept;

    // How many of the bytes so far may be sent.
    std::size_t n_bytes() const noexcept { return n_bytes_; }

  private:
    enum class State : std::uint8_t {
        start,
        first_key,  // or the end of an empty object
        key,
        colon,
        first_item,  // or the end of an empty array
        value,
        after_value,
        text,  // of a key or a value
        escape,
        hex_digits,
        literal,
        number,
        ended,
        broken,
    };
    // What of a number was read last; one does not end with those before `zero`.
    enum class Number : std::uint8_t {
        minus,
        point,
        exponent,
        sign,
        zero,
        digits,
        fraction,
        power
    };

    bool is_sendable() const noexcept;
    State next(char c) noexcept;
    State next_token(char c) noexcept;
    State open(bool is_object) noexcept;
    State close(bool is_object) noexcept;
    State begin_text(bool is_key) noexcept;
    State begin_value(char c) noexcept;
    State begin_literal(std::string_view rest) noexcept;
    State after_value(char c) noexcept;
    State in_text(char c) noexcept;
    State in_escape(char c) noexcept;
    State in_hex_digits(char c) noexcept;
    State in_literal(char c) noexcept;
    State in_number(char c) noexcept;

    State state_ = State::start;
    Number number_ = Number::minus;
    bool is_key_ = false;
    bool wants_low_surrogate_ = false;
    std::array<bool, kMaxJsonDepth> is_object_{};  // of the open objects and arrays
    std::size_t depth_ = 0;
    std::string_view literal_;  // what is still to come
    unsigned code_unit_ = 0;    // of a \u escape
    int n_digits_ = 0;
    std::size_t n_read_ = 0;
    std::size_t n_bytes_ = 0;
};

}  // namespace baltoro::server
