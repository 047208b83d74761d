#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace baltoro {

enum class Utf8Status : std::uint8_t {
    valid,       // a whole code point
    invalid,     // bytes that no continuation can make valid
    incomplete,  // a proper prefix of a code point, at the end of the text
};

// What stands at the start of a text: a code point, or a maximal part that is none (the Unicode
// standard, 3.9, "U+FFFD substitution of maximal subparts"); never longer than the text.
struct Utf8Step {
    char32_t code_point;  // meaningful if valid
    std::uint8_t length;  // bytes
    Utf8Status status;
};

// Precondition: text is not empty. Any thread.
Utf8Step decode_utf8(std::string_view text) noexcept;

// Bytes of the code point that starts with `lead`, in text known to be valid.
inline std::size_t utf8_length(char lead) noexcept {
    const auto byte = static_cast<unsigned char>(lead);
    if (byte < 0xc0) return 1;
    if (byte < 0xe0) return 2;
    return byte < 0xf0 ? 3 : 4;
}

// Code point at the start of text known to be valid.
inline char32_t valid_utf8_code_point(const char* text, std::size_t length) noexcept {
    const auto byte = [text](int i) {
        return static_cast<char32_t>(static_cast<unsigned char>(text[i]));
    };
    if (length == 1) return byte(0);
    if (length == 2) return (byte(0) & 0x1fu) << 6 | (byte(1) & 0x3fu);
    if (length == 3) return (byte(0) & 0x0fu) << 12 | (byte(1) & 0x3fu) << 6 | (byte(2) & 0x3fu);
    return (byte(0) & 7u) << 18 | (byte(1) & 0x3fu) << 12 | (byte(2) & 0x3fu) << 6 |
           (byte(3) & 0x3fu);
}

}  // namespace baltoro
