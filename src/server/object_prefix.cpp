#include "server/object_prefix.h"

namespace baltoro::server {
namespace {

bool is_space(char c) noexcept {
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

bool is_digit(char c) noexcept {
    return c >= '0' && c <= '9';
}

// Of a hexadecimal digit; 16 for anything else.
unsigned hex_value(char c) noexcept {
    if (is_digit(c)) return static_cast<unsigned>(c - '0');
    if (c >= 'a' && c <= 'f') return static_cast<unsigned>(c - 'a' + 10);
    if (c >= 'A' && c <= 'F') return static_cast<unsigned>(c - 'A' + 10);
    return 16;
}

}  // namespace

void ObjectPrefix::push(std::string_view text) noexcept {
    for (const char c : text) {
        if (state_ == State::ended || state_ == State::broken) return;
        state_ = next(c);
        n_read_++;
        if (is_sendable()) n_bytes_ = n_read_;
    }
}

bool ObjectPrefix::is_sendable() const noexcept {
    switch (state_) {
        case State::start:
        case State::after_value:
        case State::escape:
        case State::hex_digits:
        case State::number:
        case State::ended:
        case State::broken:
            return false;
        default:
            return !wants_low_surrogate_;
    }
}

ObjectPrefix::State ObjectPrefix::next(char c) noexcept {
    switch (state_) {
        case State::text:
            return in_text(c);
        case State::escape:
            return in_escape(c);
        case State::hex_digits:
            return in_hex_digits(c);
        case State::literal:
            return in_literal(c);
        case State::number:
            return in_number(c);
        default:
            return is_space(c) ? state_ : next_token(c);
    }
}

ObjectPrefix::State ObjectPrefix::next_token(char c) noexcept {
    switch (state_) {
        case State::start:
            return c == '{' ? open(true) : State::broken;
        case State::first_key:
            if (c == '}') return close(true);
            return c == '"' ? begin_text(true) : State::broken;
        case State::key:
            return c == '"' ? begin_text(true) : State::broken;
        case State::colon:
            return c == ':' ? State::value : State::broken;
        case State::first_item:
            if (c == ']') return close(false);
            return begin_value(c);
        case State::value:
            return begin_value(c);
        case State::after_value:
            return after_value(c);
        default:
            return State::broken;
    }
}

ObjectPrefix::State ObjectPrefix::open(bool is_object) noexcept {
    if (depth_ == kMaxJsonDepth) return State::broken;
    is_object_[depth_++] = is_object;
    return is_object ? State::first_key : State::first_item;
}

ObjectPrefix::State ObjectPrefix::close(bool is_object) noexcept {
    if (is_object_[depth_ - 1] != is_object) return State::broken;
    return --depth_ == 0 ? State::ended : State::after_value;
}

ObjectPrefix::State ObjectPrefix::after_value(char c) noexcept {
    if (c == '}' || c == ']') return close(c == '}');
    if (c != ',') return State::broken;
    return is_object_[depth_ - 1] ? State::key : State::value;
}

ObjectPrefix::State ObjectPrefix::begin_text(bool is_key) noexcept {
    is_key_ = is_key;
    return State::text;
}

ObjectPrefix::State ObjectPrefix::begin_value(char c) noexcept {
    switch (c) {
        case '{':
        case '[':
            return open(c == '{');
        case '"':
            return begin_text(false);
        case 't':
            return begin_literal("rue");
        case 'f':
            return begin_literal("alse");
        case 'n':
            return begin_literal("ull");
        default:
            if (c != '-' && !is_digit(c)) return State::broken;
            number_ = c == '-' ? Number::minus : c == '0' ? Number::zero : Number::digits;
            return State::number;
    }
}

ObjectPrefix::State ObjectPrefix::begin_literal(std::string_view rest) noexcept {
    literal_ = rest;
    return State::literal;
}

ObjectPrefix::State ObjectPrefix::in_literal(char c) noexcept {
    if (c != literal_.front()) return State::broken;
    literal_.remove_prefix(1);
    return literal_.empty() ? State::after_value : State::literal;
}

ObjectPrefix::State ObjectPrefix::in_text(char c) noexcept {
    if (c == '\\') return State::escape;
    // Half of a surrogate pair, or a control character.
    if (wants_low_surrogate_ || static_cast<unsigned char>(c) < 0x20) return State::broken;
    if (c != '"') return State::text;
    return is_key_ ? State::colon : State::after_value;
}

ObjectPrefix::State ObjectPrefix::in_escape(char c) noexcept {
    if (c == 'u') {
        code_unit_ = 0;
        n_digits_ = 0;
        return State::hex_digits;
    }
    const bool is_known = std::string_view("\"\\/bfnrt").find(c) != std::string_view::npos;
    return is_known && !wants_low_surrogate_ ? State::text : State::broken;
}

ObjectPrefix::State ObjectPrefix::in_hex_digits(char c) noexcept {
    const unsigned value = hex_value(c);
    if (value == 16) return State::broken;
    code_unit_ = code_unit_ * 16 + value;
    if (++n_digits_ < 4) return State::hex_digits;
    const bool is_low = code_unit_ >= 0xdc00 && code_unit_ < 0xe000;
    if (is_low != wants_low_surrogate_) return State::broken;
    wants_low_surrogate_ = code_unit_ >= 0xd800 && code_unit_ < 0xdc00;
    return State::text;
}

ObjectPrefix::State ObjectPrefix::in_number(char c) noexcept {
    const bool has_whole = number_ == Number::zero || number_ == Number::digits;
    const bool has_mantissa = has_whole || number_ == Number::fraction;
    if (is_digit(c)) {
        if (number_ == Number::zero) return State::broken;
        if (number_ == Number::minus) number_ = c == '0' ? Number::zero : Number::digits;
        if (number_ == Number::point) number_ = Number::fraction;
        if (number_ == Number::exponent || number_ == Number::sign) number_ = Number::power;
    } else if (c == '.' && has_whole) {
        number_ = Number::point;
    } else if ((c == 'e' || c == 'E') && has_mantissa) {
        number_ = Number::exponent;
    } else if ((c == '+' || c == '-') && number_ == Number::exponent) {
        number_ = Number::sign;
    } else if (number_ >= Number::zero) {
        return is_space(c) ? State::after_value : after_value(c);
    } else {
        return State::broken;
    }
    return State::number;
}

}  // namespace baltoro::server
