#include "server/object_prefix.h"

#include <cstdint>
#include <iterator>
#include <string>
#include <string_view>

#include <doctest/doctest.h>

#include "base/random.h"
#include "tests/server/test_seed.h"

using namespace baltoro::server;

namespace {

std::string sendable(std::string_view text) {
    ObjectPrefix prefix;
    prefix.push(text);
    return std::string(text.substr(0, prefix.n_bytes()));
}

// Whether a parser that finds the end of the text has found no mistake before.
bool is_beginning(const std::string& text) {
    try {
        return Json::parse(text).is_discarded();  // it is not, for it is a whole text
    } catch (const Json::parse_error& error) {
        return error.byte > text.size();
    } catch (const Json::out_of_range&) {
        return true;  // a number too large, of which nothing is said; the parser goes no further
    }
}

constexpr const char* kObjects[] = {
    R"({})",
    R"({"command": "ls -l", "n": [1, -2.5e-3, 0, 1E+9, []], "t": true, "f": false, "n": null})",
    R"( {"text" : "say \"hi\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00" , "o":{"a":{},"b":[{"c":""}]} } )",
};

}  // namespace

TEST_CASE("what is sent ends before the end of a value that nothing follows") {
    CHECK(sendable("{}") == "{");
    CHECK(sendable(R"({"a": "b"})") == R"({"a": "b)");
    CHECK(sendable(R"({"a": "b" )") == R"({"a": "b)");
    CHECK(sendable(R"({"a": "b",)") == R"({"a": "b",)");
    CHECK(sendable(R"({"a": 12)") == R"({"a": )");
    CHECK(sendable(R"({"a": 12, )") == R"({"a": 12, )");
    CHECK(sendable(R"({"a": [1, true])") == R"({"a": [1, tru)");
    CHECK(sendable(R"({"a": [1, true], "b)") == R"({"a": [1, true], "b)");
    CHECK(sendable(R"({"a": {})") == R"({"a": {)");
}

TEST_CASE("what is sent is the same however the text comes") {
    for (const std::string_view text : kObjects) {
        ObjectPrefix prefix;
        for (std::size_t i = 0; i < text.size(); i++) {
            prefix.push(text.substr(i, 1));
            CAPTURE(text.substr(0, i + 1));
            CHECK(prefix.n_bytes() == sendable(text.substr(0, i + 1)).size());
        }
    }
}

TEST_CASE("nothing is sent of a text that is no object") {
    for (const std::string_view text : {"", "  ", "[1]", "\"text\"", "null", "}", "x{}"}) {
        CAPTURE(text);
        CHECK(sendable(text) == "");
    }
}

TEST_CASE("an escape is sent when it is complete, and a pair of surrogates as one") {
    CHECK(sendable(R"({"a": "x\)") == R"({"a": "x)");
    CHECK(sendable(R"({"a": "x\u00e)") == R"({"a": "x)");
    CHECK(sendable(R"({"a": "x\u00e9)") == R"({"a": "x\u00e9)");
    CHECK(sendable(R"({"a": "x\ud83d)") == R"({"a": "x)");
    CHECK(sendable(R"({"a": "x\ud83d\ude00)") == R"({"a": "x\ud83d\ude00)");
}

TEST_CASE("nothing is sent from the first mistake on") {
    struct Mistake {
        const char* sent;
        const char* rest;
    };
    for (const auto& [sent, rest] : {
             Mistake{R"({)", R"(a: 1})"},
             {R"({"a")", R"(, 1})"},
             {R"({"a": )", R"(})"},
             {R"({"a": 1,)", R"(})"},
             {R"({"a": )", R"(1]})"},
             {R"({"a": [1,)", R"(]})"},
             {R"({"a": [)", R"(1}})"},
             {R"({"a": )", R"(01})"},
             {R"({"a": )", R"(1.e5})"},
             {R"({"a": )", R"(.5})"},
             {R"({"a": )", R"(-x})"},
             {R"({"a": )", R"(1e+})"},
             {R"({"a": )", R"(1e5.5})"},
             {R"({"a": )", R"(+1})"},
             {R"({"a": tru)", R"(th})"},
             {R"({"a": "b)", "\n\"}"},
             {R"({"a": "b)", R"(\q"})"},
             {R"({"a": "b)", R"(\u12g4"})"},
             {R"({"a": "b)", R"(\ud83d"})"},
             {R"({"a": "b)", R"(\ud83d\n"})"},
             {R"({"a": "b)", R"(\ude00"})"},
             {R"({"a": "say )", R"("hi""})"},
             {R"({"a": 1, "b": "c)", R"("} and more)"},
             {R"({)", R"(}})"},
         }) {
        const std::string text = std::string(sent) + rest;
        CAPTURE(text);
        CHECK(sendable(text) == sent);
    }
}

TEST_CASE("a number too large for a double is sent as it is written") {
    const std::string text = R"({"a": 1E809, "b")";
    CHECK(sendable(text + ": ") == text + ": ");
    CHECK(is_beginning(text));
}

TEST_CASE("levels beyond the limit of requests are mistakes") {
    const std::string deep = R"({"a":)" + std::string(kMaxJsonDepth - 1, '[');
    CHECK(sendable(deep) == deep);
    CHECK(sendable(deep + "[") == deep);
}

TEST_CASE("what is sent is the beginning of an object, whatever was written") {
    const std::uint64_t seed = baltoro::testing::test_seed();
    CAPTURE(seed);
    baltoro::Random random(seed);
    constexpr std::string_view kBytes = "{}[]\",:\\u0123d8eE+-.tfn \n\x01";
    for (int round = 0; round < 20'000; round++) {
        std::string text = kObjects[random.below(std::size(kObjects))];
        for (std::uint64_t n = random.below(4); n > 0; n--) {
            const std::size_t at = random.below(text.size());
            const char byte = kBytes[random.below(kBytes.size())];
            if (random.below(2) == 0)
                text[at] = byte;
            else
                text.insert(at, 1, byte);
        }
        CAPTURE(text);
        const std::string sent = sendable(text);
        if (!sent.empty()) CHECK(is_beginning(sent));
        // The rest of a whole object is the end of its last value and its own.
        if (parse_body(text)) CHECK(text.find_first_of(",:{[\"", sent.size() + 1) == text.npos);
    }
}
