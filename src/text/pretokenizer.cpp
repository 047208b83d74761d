#include "text/pretokenizer.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <array>
#include <string>
#include <utility>

#include "base/check.h"
#include "text/text_parts.h"
#include "text/utf8.h"

namespace baltoro {
namespace {

// The pattern needs to know only a few things about a code point, so text is first translated into
// one symbol byte per code point and the pattern is matched over symbols. Its classes are then
// plain 256-bit sets (the intersections with "not Han" included), every repeat is a tight loop that
// needs no stack, and no Unicode property is looked up while matching. Symbols:
//   strevmld STREVMLD   these ASCII letters (contractions need them); f is U+017F, which folds to s
//   A a o x             other Lu Lt; other Ll; Lm Lo; M (all but Han)
//   H N G 0             Han letter; Han number; other Han; other number
//   \r \n ' ' '         themselves; \t is every other White_Space
//   , .                 U+001C..U+001F, which only Python calls spaces; everything else
constexpr std::string_view kContractionLetters = "strevmldSTREVMLD";

std::string symbol_pattern() {
    const std::string letter = "strevmldSTREVMLDfAaoH";
    const std::string number = "0N";
    const std::string upper = "[STREVMLDAox]";   // Lu Lt Lm Lo M, not Han
    const std::string lower = "[strevmldfaox]";  // Ll Lm Lo M, not Han
    const std::string prefix = "[^\\r\\n" + letter + number + "]?";
    const std::string contraction = "(?:'(?:[sSftTmMdD]|[rR][eE]|[vV][eE]|[lL][lL]))?";
    const std::string space = "[\\r\\n \\t]";
    return "[HNG]+|" +                                               // [\p{Han}]+
           prefix + upper + "*" + lower + "+" + contraction + "|" +  // Word, word
           prefix + upper + "+" + lower + "*" + contraction + "|" +  // WORD
           "[" + number + "]{1,3}|" +                                // \p{N}{1,3}
           " ?[^\\r\\n \\t" + letter + number + "]+[\\r\\n]*|" +     //  ?[^\s\p{L}\p{N}]+[\r\n]*
           space + "*[\\r\\n]+|" +                                   // \s*[\r\n]+
           space + "+(?![^\\r\\n \\t])|" +                           // \s+(?!\S)
           space + "+";                                              // \s+
}

struct Range {
    char32_t first, last;
};

// Script=Han, Unicode 16. The library's own \p{Han} means script extensions and is older.
constexpr std::array<Range, 22> kHan = {{
    {0x2e80, 0x2e99},   {0x2e9b, 0x2ef3},   {0x2f00, 0x2fd5},   {0x3005, 0x3005},
    {0x3007, 0x3007},   {0x3021, 0x3029},   {0x3038, 0x303b},   {0x3400, 0x4dbf},
    {0x4e00, 0x9fff},   {0xf900, 0xfa6d},   {0xfa70, 0xfad9},   {0x16fe2, 0x16fe3},
    {0x16ff0, 0x16ff1}, {0x20000, 0x2a6df}, {0x2a700, 0x2b739}, {0x2b740, 0x2b81d},
    {0x2b820, 0x2cea1}, {0x2ceb0, 0x2ebe0}, {0x2ebf0, 0x2ee5d}, {0x2f800, 0x2fa1d},
    {0x30000, 0x3134a}, {0x31350, 0x323af},
}};

// Code points with properties: planes 0 to 3 and 14. The rest is private or unassigned.
constexpr char32_t kLowEnd = 0x40000;
constexpr char32_t kTagsBegin = 0xe0000;
constexpr char32_t kTagsEnd = 0xf0000;

constexpr std::size_t table_index(char32_t code_point) noexcept {
    if (code_point < kLowEnd) return code_point;
    if (code_point >= kTagsBegin && code_point < kTagsEnd) return kLowEnd + code_point - kTagsBegin;
    return kLowEnd;  // the first tag, unassigned: as everything without properties
}

void append_utf8(char32_t c, std::string& text) {
    const auto continuation = [](char32_t bits) { return static_cast<char>(0x80 | (bits & 0x3f)); };
    if (c < 0x80) {
        text += static_cast<char>(c);
        return;
    }
    if (c < 0x800) {
        text += static_cast<char>(0xc0 | c >> 6);
    } else {
        if (c < 0x10000) {
            text += static_cast<char>(0xe0 | c >> 12);
        } else {
            text += static_cast<char>(0xf0 | c >> 18);
            text += continuation(c >> 12);
        }
        text += continuation(c >> 6);
    }
    text += continuation(c);
}

// A compiled pattern and a place for its result. The pattern is shared by threads, the result not.
class MatchData {
  public:
    explicit MatchData(const pcre2_code* code)
        : data_(pcre2_match_data_create_from_pattern(code, nullptr)) {
        if (data_ == nullptr) throw std::bad_alloc();
    }
    ~MatchData() { pcre2_match_data_free(data_); }
    MatchData(const MatchData&) = delete;
    MatchData& operator=(const MatchData&) = delete;

    // End of the match that starts at `begin`. Both patterns match at every position of every text.
    std::size_t match(const pcre2_code* code, std::string_view text, std::size_t begin) {
        const auto* subject = reinterpret_cast<PCRE2_SPTR>(text.data());
        int n_groups =
            pcre2_match(code, subject, text.size(), begin, PCRE2_NO_UTF_CHECK, data_, nullptr);
        if (n_groups < 0) {  // the compiled code's stack ran out: the interpreter has none
            n_groups = pcre2_match(code, subject, text.size(), begin,
                                   PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, data_, nullptr);
        }
        check(n_groups > 0, "the splitting pattern matches at every position");
        last_group_ = n_groups - 1;
        return pcre2_get_ovector_pointer(data_)[1];
    }
    int last_group() const noexcept { return last_group_; }

  private:
    pcre2_match_data* data_;
    int last_group_ = 0;
};

class Code {
  public:
    Code(std::string_view pattern, std::uint32_t options) {
        int error = 0;
        std::size_t offset = 0;
        code_ = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(),
                              options | PCRE2_ANCHORED, &error, &offset, nullptr);
        check(code_ != nullptr, "the splitting pattern compiles");
        // Where code generation is not possible, the interpreter is used: slower, same result.
        static_cast<void>(pcre2_jit_compile(code_, PCRE2_JIT_COMPLETE));
    }
    ~Code() { pcre2_code_free(code_); }
    Code(const Code&) = delete;
    Code& operator=(const Code&) = delete;
    const pcre2_code* get() const noexcept { return code_; }

  private:
    pcre2_code* code_;
};

using SymbolTable = std::string;

// One pass over all code points with properties, in runs of equal category.
SymbolTable symbols_of_categories() {
    std::string all;
    SymbolTable symbols(table_index(kTagsEnd - 1) + 1, '.');
    const auto append_range = [&all](char32_t first, char32_t end) {
        for (char32_t c = first; c < end; ++c)
            if (c < 0xd800 || c >= 0xe000) append_utf8(c, all);
    };
    append_range(0, kLowEnd);
    append_range(kTagsBegin, kTagsEnd);
    const Code categories(
        "([\\p{Lu}\\p{Lt}]+)|(\\p{Ll}+)|([\\p{Lm}\\p{Lo}]+)|(\\p{M}+)|(\\p{N}+)|"
        "([^\\p{L}\\p{M}\\p{N}]+)",
        PCRE2_UTF | PCRE2_UCP);
    constexpr std::string_view kSymbolOfGroup = "?Aaox0.";
    MatchData data(categories.get());
    for (std::size_t at = 0; at < all.size();) {
        const std::size_t end = data.match(categories.get(), all, at);
        const char symbol = kSymbolOfGroup[static_cast<std::size_t>(data.last_group())];
        while (at < end) {
            const std::size_t length = utf8_length(all[at]);
            symbols[table_index(valid_utf8_code_point(&all[at], length))] = symbol;
            at += length;
        }
    }
    return symbols;
}

char han_symbol(char category_symbol, char32_t code_point) noexcept {
    if (category_symbol == '0') return 'N';
    // The library may be older than the ideographs of the supplementary planes.
    if (category_symbol == 'o' || code_point >= 0x20000) return 'H';
    return 'G';
}

SymbolTable make_symbol_table() {
    SymbolTable symbols = symbols_of_categories();
    for (const Range& range : kHan)
        for (char32_t c = range.first; c <= range.last; ++c)
            symbols[c] = han_symbol(symbols[c], c);
    for (char32_t c = 0; c <= 0x3000; ++c)
        if (is_python_space(c)) symbols[c] = c >= 0x1c && c <= 0x1f ? ',' : '\t';
    for (const char c : kContractionLetters)
        symbols[static_cast<std::size_t>(c)] = c;
    for (const char c : std::string_view("\r\n '"))
        symbols[static_cast<std::size_t>(c)] = c;
    symbols[0x17f] = 'f';
    return symbols;
}

}  // namespace

struct Pretokenizer::Pattern {
    Code code{symbol_pattern(), 0};
    SymbolTable symbols = make_symbol_table();
};

Pretokenizer::Pretokenizer() : pattern_(std::make_unique<const Pattern>()) {}
Pretokenizer::~Pretokenizer() = default;
Pretokenizer::Pretokenizer(Pretokenizer&&) noexcept = default;
Pretokenizer& Pretokenizer::operator=(Pretokenizer&&) noexcept = default;

void Pretokenizer::split(std::string_view text, std::vector<std::string_view>& pieces) const {
    std::string symbols(text.size(), '\0');
    std::size_t n_symbols = 0;
    for (std::size_t at = 0; at < text.size();) {
        const std::size_t length = utf8_length(text[at]);
        const char32_t code_point = valid_utf8_code_point(&text[at], length);
        symbols[n_symbols++] = pattern_->symbols[table_index(code_point)];
        at += length;
    }
    symbols.resize(n_symbols);
    MatchData data(pattern_->code.get());
    std::size_t byte = 0;
    for (std::size_t at = 0; at < n_symbols;) {
        const std::size_t end = data.match(pattern_->code.get(), symbols, at);
        const std::size_t begin_byte = byte;
        for (; at < end; ++at)
            byte += utf8_length(text[byte]);
        pieces.push_back(text.substr(begin_byte, byte - begin_byte));
    }
}

}  // namespace baltoro
