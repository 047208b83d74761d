#include "text/utf8_stream.h"

#include <array>
#include <string>
#include <string_view>

#include <doctest/doctest.h>

#include "base/random.h"
#include "text/utf8.h"

using namespace baltoro;
using namespace std::string_view_literals;

namespace {

struct Case {
    std::string_view bytes;
    std::string_view text;
};

// The last four are the Unicode standard's examples of maximal subparts (3.9, tables 3-8 to 3-11).
constexpr std::array<Case, 16> kCases = {{
    {"", ""},
    {"plain", "plain"},
    {"\0a\x7f"sv, "\0a\x7f"sv},
    {"é你🏔️", "é你🏔️"},
    {"\xef\xbf\xbf\xf4\x8f\xbf\xbf", "\xef\xbf\xbf\xf4\x8f\xbf\xbf"},
    {"\x80", "\xef\xbf\xbd"},
    {"a\xff\xfe"
     "b",
     "a\xef\xbf\xbd\xef\xbf\xbd"
     "b"},
    {"\xe4\xbd", "\xef\xbf\xbd"},
    {"\xe4\xbd\xe4\xbd\xa0", "\xef\xbf\xbd\xe4\xbd\xa0"},
    {"\xf0\x9f\x8f", "\xef\xbf\xbd"},
    {"\xf0\x9f\x8fx", "\xef\xbf\xbdx"},
    {"\xf5\x80", "\xef\xbf\xbd\xef\xbf\xbd"},
    {"\xc0\xaf\xe0\x80\xbf\xf0\x81\x82\x41",
     "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf"
     "\xbd\x41"},
    {"\xed\xa0\x80\xed\xbf\xbf\xed\xaf\x41",
     "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf"
     "\xbd\x41"},
    {"\xf4\x91\x92\x93\xff\x41\x80\xbf\x42",
     "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\x41\xef\xbf\xbd\xef\xbf\xbd"
     "\x42"},
    {"\xe1\x80\xe2\xf0\x91\x92\xf1\xbf\x41",
     "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\x41"},
}};

bool is_valid(std::string_view text) {
    while (!text.empty()) {
        const Utf8Step step = decode_utf8(text);
        if (step.status != Utf8Status::valid) return false;
        text.remove_prefix(step.length);
    }
    return true;
}

}  // namespace

TEST_CASE("every cut of a byte string in three gives the same text") {
    for (const Case& test : kCases) {
        for (std::size_t i = 0; i <= test.bytes.size(); ++i) {
            for (std::size_t k = i; k <= test.bytes.size(); ++k) {
                CAPTURE(test.text);
                CAPTURE(i);
                CAPTURE(k);
                Utf8Stream stream;
                const std::string first = stream.push(test.bytes.substr(0, i));
                const std::string second = stream.push(test.bytes.substr(i, k - i));
                const std::string third = stream.push(test.bytes.substr(k));
                CHECK(is_valid(first));
                CHECK(is_valid(second));
                CHECK(first + second + third + stream.finish() == test.text);
            }
        }
    }
}

TEST_CASE("whole code points come out at once and unfinished ones are held back") {
    Utf8Stream stream;
    CHECK(stream.push("a\xf0\x9f") == "a");
    CHECK(stream.push("\x8f") == "");
    CHECK(stream.push("\x94z") == "\xf0\x9f\x8f\x94z");
    CHECK(stream.finish() == "");
    CHECK(stream.push("\xe4") == "");
    CHECK(stream.finish() == "\xef\xbf\xbd");
    CHECK(stream.finish() == "");
}

TEST_CASE("random bytes give valid text that does not depend on the cuts") {
    Random random(1);
    for (int round = 0; round < 2000; ++round) {
        CAPTURE(round);
        std::string bytes(random.below(20), '\0');
        for (char& byte : bytes)
            byte = static_cast<char>(random.below(2) == 0 ? random.below(256)
                                                          : 0x80 + random.below(0x7f));
        Utf8Stream whole;
        std::string expected = whole.push(bytes);
        expected += whole.finish();
        Utf8Stream bytewise;
        std::string text;
        for (const char byte : bytes)
            text += bytewise.push({&byte, 1});
        text += bytewise.finish();
        CHECK(text == expected);
        CHECK(is_valid(text));
    }
}
