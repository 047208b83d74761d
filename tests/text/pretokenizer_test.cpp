#include "text/pretokenizer.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <array>
#include <string>
#include <string_view>
#include <vector>

#include <doctest/doctest.h>

#include "base/random.h"
#include "text/text_parts.h"

using namespace baltoro;

namespace {

using Pieces = std::vector<std::string>;

Pieces split(const Pretokenizer& pretokenizer, std::string_view text) {
    std::vector<std::string_view> pieces;
    pretokenizer.split(text, pieces);
    return {pieces.begin(), pieces.end()};
}

// The published pattern as it is written, over code points, with each class intersection as a
// negative look-ahead.
class PublishedPattern {
  public:
    PublishedPattern() {
        const std::string han =
            "[\\x{2e80}-\\x{2e99}\\x{2e9b}-\\x{2ef3}\\x{2f00}-\\x{2fd5}\\x{3005}\\x{3007}"
            "\\x{3021}-\\x{3029}\\x{3038}-\\x{303b}\\x{3400}-\\x{4dbf}\\x{4e00}-\\x{9fff}"
            "\\x{f900}-\\x{fa6d}\\x{fa70}-\\x{fad9}\\x{16fe2}-\\x{16fe3}\\x{16ff0}-\\x{16ff1}"
            "\\x{20000}-\\x{2a6df}\\x{2a700}-\\x{2b739}\\x{2b740}-\\x{2b81d}\\x{2b820}-\\x{2cea1}"
            "\\x{2ceb0}-\\x{2ebe0}\\x{2ebf0}-\\x{2ee5d}\\x{2f800}-\\x{2fa1d}\\x{30000}-\\x{3134a}"
            "\\x{31350}-\\x{323af}]";
        const std::string upper = "(?:(?!" + han + ")[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}])";
        const std::string lower = "(?:(?!" + han + ")[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}])";
        const std::string suffix = "(?i:'s|'t|'re|'ve|'m|'ll|'d)?";
        const std::string prefix = "[^\\r\\n\\p{L}\\p{N}]?";
        const std::string pattern = han + "+|" + prefix + upper + "*" + lower + "+" + suffix + "|" +
                                    prefix + upper + "+" + lower + "*" + suffix +
                                    "|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|"
                                    "\\s+(?!\\S)|\\s+";
        int error = 0;
        std::size_t offset = 0;
        code_ = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.c_str()), pattern.size(),
                              PCRE2_UTF | PCRE2_UCP | PCRE2_ANCHORED, &error, &offset, nullptr);
        REQUIRE(code_ != nullptr);
        data_ = pcre2_match_data_create(1, nullptr);
    }
    ~PublishedPattern() {
        pcre2_match_data_free(data_);
        pcre2_code_free(code_);
    }
    PublishedPattern(const PublishedPattern&) = delete;
    PublishedPattern& operator=(const PublishedPattern&) = delete;

    Pieces split(const std::string& text) const {
        Pieces pieces;
        for (std::size_t at = 0; at < text.size();) {
            REQUIRE(pcre2_match(code_, reinterpret_cast<PCRE2_SPTR>(text.c_str()), text.size(), at,
                                0, data_, nullptr) > 0);
            const std::size_t end = pcre2_get_ovector_pointer(data_)[1];
            pieces.push_back(text.substr(at, end - at));
            at = end;
        }
        return pieces;
    }

  private:
    pcre2_code* code_ = nullptr;
    pcre2_match_data* data_ = nullptr;
};

// Code points where the pattern's alternatives meet.
constexpr std::array<std::string_view, 68> kAlphabet = {"a",    "s",
                                                        "S",    "t",
                                                        "r",    "e",
                                                        "R",    "E",
                                                        "v",    "V",
                                                        "m",    "M",
                                                        "l",    "L",
                                                        "d",    "D",
                                                        "Z",    "'",
                                                        "'",    "ſ",
                                                        "K",    "é",
                                                        "É",    "ǅ",
                                                        "ʰ",    "ß",
                                                        "я",    "Я",
                                                        "中",   "文",
                                                        "〇",   "〡",
                                                        "々",   "〻",
                                                        "⺀",   "⼀",
                                                        "𖿢", "𖿣",
                                                        "𖿰", "豈",
                                                        "𠀀",   "の",
                                                        "カ",   "ー",
                                                        "한",   "ا",
                                                        "́",     "ं",
                                                        "️",  "1",
                                                        "2",    "٣",
                                                        "½",    "Ⅷ",
                                                        " ",    " ",
                                                        "\t",   "\n",
                                                        "\r",   "\xc2\xa0",
                                                        "　",   "\xe2\x80\xa8",
                                                        "\x1c", "!",
                                                        "/",    "🎉",
                                                        "_",    "\xc2\x85"};

struct Example {
    std::string_view text;
    Pieces pieces;
};

}  // namespace

TEST_CASE("the pattern splits the known examples") {
    const Pretokenizer pretokenizer;
    const std::vector<Example> examples = {
        {"", {}},
        {"中's", {"中", "'s"}},
        {"1〇2", {"1〇2"}},
        {"1〇〇〇〇", {"1〇〇", "〇〇"}},
        {"〇1", {"〇", "1"}},
        {" 中文", {" ", "中文"}},
        {"!中文", {"!", "中文"}},
        {"日本語のテキスト漢字かな", {"日本語", "のテキスト", "漢字", "かな"}},
        {"!\n/\n/x", {"!\n", "/\n", "/x"}},
        {"}\n///doc", {"}\n", "///", "doc"}},
        {"hello's", {"hello's"}},
        {"CamelCaseWord", {"Camel", "Case", "Word"}},
        {"a  b", {"a", " ", " b"}},
        {"x \n y", {"x", " \n", " y"}},
        {"3.14159", {"3", ".", "141", "59"}},
        {"A'sB", {"A's", "B"}},
        {"中々", {"中々"}},
        {"it'ſ IT'LL", {"it'ſ", " IT'LL"}},
        {"we'Re x'q", {"we'Re", " x", "'q"}},
        {"HTTPServer", {"HTTPServer"}},
        {"a\t\tb ", {"a", "\t", "\tb", " "}},
        {"  \n\n  x", {"  \n\n", " ", " x"}},
        {"!⺀中", {"!⺀", "中"}},
        {"ᄀ\xf0\xae\xaf\xb0x",
         {"ᄀ", "\xf0\xae\xaf\xb0", "x"}},                 // U+2EBF0, newer than PCRE2's data
        {"!\xf0\xb1\x8d\x90", {"!", "\xf0\xb1\x8d\x90"}},  // U+31350, likewise
    };
    for (const Example& example : examples) {
        CAPTURE(example.text);
        CHECK(split(pretokenizer, example.text) == example.pieces);
    }
}

TEST_CASE("symbols split random text as the published pattern does over code points") {
    const Pretokenizer pretokenizer;
    const PublishedPattern published;
    Random random(1);
    for (int round = 0; round < 20000; ++round) {
        std::string text;
        for (std::uint64_t n = random.below(16); n > 0; --n)
            text += kAlphabet[random.below(kAlphabet.size())];
        CAPTURE(round);
        CAPTURE(text);
        CHECK(split(pretokenizer, text) == published.split(text));
    }
}

TEST_CASE("all code points split as the published pattern does") {
    const Pretokenizer pretokenizer;
    const PublishedPattern published;
    std::string text;
    int n_checked = 0;
    for (unsigned c = 0x80; c < 0x110000; c += c < 0x3100 || (c > 0xa000 && c < 0x1ffff) ? 1 : 97) {
        if (c >= 0xd800 && c < 0xe000) continue;
        if (c < 0x800) {
            text = {static_cast<char>(0xc0 | c >> 6)};
        } else {
            const char lead = static_cast<char>(c < 0x10000 ? 0xe0 | c >> 12 : 0xf0 | c >> 18);
            text = {lead};
            if (c >= 0x10000) text += static_cast<char>(0x80 | (c >> 12 & 0x3f));
            text += static_cast<char>(0x80 | (c >> 6 & 0x3f));
        }
        text += static_cast<char>(0x80 | (c & 0x3f));
        // Newer ideographs than the library knows are the example table's business.
        if (c >= 0x20000 && c < 0x40000) continue;
        text = "A" + text + "a1" + text + " " + text;
        CAPTURE(c);
        if (c != 0x180e) CHECK(split(pretokenizer, text) == published.split(text));
        ++n_checked;
    }
    CHECK(n_checked > 90000);
}

TEST_CASE("long runs of every kind are split") {
    const Pretokenizer pretokenizer;
    for (const std::string_view unit :
         {"a", "A", "x'", " ", "\n", "1", "!", "中", "の", "́", "Aa"}) {
        std::string text;
        for (int i = 0; i < 25000; ++i)
            text += unit;
        CAPTURE(unit);
        std::string joined;
        for (const std::string& piece : split(pretokenizer, text))
            joined += piece;
        CHECK(joined == text);
    }
}

TEST_CASE("long text is cut as the reference cuts it") {
    std::string han;
    for (int i = 0; i < 25001; ++i)
        han += "界";
    const std::vector<TextPart> runs = cut_text(han);
    REQUIRE(runs.size() == 2);
    CHECK(runs[0].text.size() == 75000);
    CHECK(runs[1].text == "界");

    std::string pairs;
    for (int i = 0; i < 200001; ++i)
        pairs += "a ";
    const std::vector<TextPart> slices = cut_text(pairs);
    REQUIRE(slices.size() == 2);
    CHECK(slices[0].text.size() == 400000);
    CHECK(slices[1].text == "a ");

    const std::string spaces = std::string(25000, ' ') + "x" + std::string(50001, '\x1c');
    const std::vector<TextPart> parts = cut_text(spaces);
    REQUIRE(parts.size() == 3);
    CHECK(parts[0].text.size() == 25000 + 1 + 25000);
    CHECK(parts[1].text.size() == 25000);
    CHECK(parts[2].text.size() == 1);
}

TEST_CASE("the run counter restarts at a slice") {
    // 15,000 at the end of one slice and 15,000 at the start of the next are no long run.
    std::string mixed;
    for (int i = 0; i < 385000 / 2; ++i)
        mixed += "a ";
    mixed += std::string(30000, 'b');
    const std::vector<TextPart> parts = cut_text(mixed);
    REQUIRE(parts.size() == 2);
    CHECK(parts[0].text.size() == 400000);
    CHECK(parts[1].text.size() == 15000);
}

TEST_CASE("bytes that are not UTF-8 are parts of their own") {
    const std::vector<TextPart> parts = cut_text("a\xff\xe4\xbd-\xc0");
    REQUIRE(parts.size() == 5);
    CHECK((parts[0].is_valid && parts[0].text == "a"));
    CHECK((!parts[1].is_valid && parts[1].text == "\xff"));
    CHECK((!parts[2].is_valid && parts[2].text == "\xe4\xbd"));
    CHECK((parts[3].is_valid && parts[3].text == "-"));
    CHECK((!parts[4].is_valid && parts[4].text == "\xc0"));
}
