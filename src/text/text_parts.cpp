#include "text/text_parts.h"

#include <cstddef>

#include "text/utf8.h"

namespace baltoro {
namespace {

constexpr std::size_t kMaxSliceChars = 400'000;
constexpr std::size_t kMaxRunChars = 25'000;

// Bytes of a run of whole code points at the start of text.
std::size_t valid_prefix(std::string_view text) noexcept {
    std::size_t end = 0;
    while (end < text.size()) {
        const Utf8Step step = decode_utf8(text.substr(end));
        if (step.status != Utf8Status::valid) break;
        end += step.length;
    }
    return end;
}

// The reference's two nested cuts, in one pass over valid text.
class Cutter {
  public:
    explicit Cutter(std::string_view text) : text_(text) {}

    void cut(std::vector<TextPart>& parts) {
        for (std::size_t at = 0; at < text_.size();) {
            const std::size_t length = utf8_length(text_[at]);
            const bool is_space = is_python_space(valid_utf8_code_point(&text_[at], length));
            if (slice_chars_ == kMaxSliceChars) {
                flush(at, parts);
                slice_chars_ = 0;
                run_chars_ = 0;
            }
            if (is_space != run_is_space_) run_chars_ = 0;
            if (run_chars_ == kMaxRunChars) {
                flush(at, parts);
                run_chars_ = 0;
            }
            run_is_space_ = is_space;
            ++run_chars_;
            ++slice_chars_;
            at += length;
        }
        flush(text_.size(), parts);
    }

  private:
    void flush(std::size_t end, std::vector<TextPart>& parts) {
        if (end > begin_) parts.push_back({text_.substr(begin_, end - begin_), true});
        begin_ = end;
    }

    std::string_view text_;
    std::size_t begin_ = 0;
    std::size_t slice_chars_ = 0;
    std::size_t run_chars_ = 0;
    bool run_is_space_ = false;
};

}  // namespace

bool is_python_space(char32_t c) noexcept {
    if (c <= 0x20) return c == 0x20 || (c >= 0x09 && c <= 0x0d) || (c >= 0x1c && c <= 0x1f);
    if (c < 0x80) return false;
    return c == 0x85 || c == 0xa0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200a) || c == 0x2028 ||
           c == 0x2029 || c == 0x202f || c == 0x205f || c == 0x3000;
}

std::vector<TextPart> cut_text(std::string_view text) {
    std::vector<TextPart> parts;
    while (!text.empty()) {
        const std::size_t valid = valid_prefix(text);
        Cutter(text.substr(0, valid)).cut(parts);
        text.remove_prefix(valid);
        if (text.empty()) break;
        const std::size_t invalid = decode_utf8(text).length;
        parts.push_back({text.substr(0, invalid), false});
        text.remove_prefix(invalid);
    }
    return parts;
}

}  // namespace baltoro
