#pragma once

#include <string_view>
#include <vector>

namespace baltoro {

// A stretch of text that is encoded on its own: valid UTF-8, or bytes that are none.
struct TextPart {
    std::string_view text;
    bool is_valid;
};

// Whether Python's str.isspace holds for this code point.
bool is_python_space(char32_t code_point) noexcept;

// Cuts any bytes into parts as the reference tokenizer does: slices of 400,000 code points, inside
// them a cut where a run of whitespace or of non-whitespace exceeds 25,000. Bytes that are not
// UTF-8, which the reference never sees, are parts of their own. Views into `text`.
std::vector<TextPart> cut_text(std::string_view text);

}  // namespace baltoro
