#include "server/json_fields.h"

#include <cstdint>
#include <limits>
#include <string>

#include <doctest/doctest.h>

#include "tests/server/refusal.h"

using namespace baltoro::server;

namespace {

constexpr std::int64_t kLargest = std::numeric_limits<std::int64_t>::max();

std::string nested(int depth) {
    return std::string(static_cast<std::size_t>(depth), '[') +
           std::string(static_cast<std::size_t>(depth), ']');
}

}  // namespace

TEST_CASE("a body is a JSON object in UTF-8 without zero bytes") {
    CHECK(parse_body(R"({"a": 1})").has_value());
    CHECK(parse_body("{\"a\": \"\xf0\x9f\x98\x80\"}").has_value());
    CHECK(parse_body("[1]").error() == "The request body must be a JSON object.");
    CHECK(parse_body("").error() == "The request body is not valid JSON.");
    CHECK(parse_body(R"({"a": 1} x)").error() == "The request body is not valid JSON.");
    CHECK(parse_body(R"({"a": NaN})").error() == "The request body is not valid JSON.");
    CHECK(parse_body("{\"a\": \"\xc0\xaf\"}").error() == "The request body is not valid UTF-8.");
    CHECK(parse_body(R"({"a": "\ud800"})").error() ==
          "The request body holds half of a surrogate pair.");
    CHECK(parse_body(R"({"a": 1e999})").error() ==
          "The request body holds a number that is too large.");
    CHECK(!parse_body(std::string_view("{\"a\": 1}\0{", 10)).has_value());
}

TEST_CASE("a body is nested at most 128 levels deep") {
    CHECK(parse_body("{\"a\":" + nested(127) + "}").has_value());
    CHECK(parse_body("{\"a\":" + nested(128) + "}").error() ==
          "The request body is nested deeper than 128 levels.");
    CHECK(!parse_body(std::string(1'000'000, '[')).has_value());
}

TEST_CASE("brackets inside strings do not count as nesting") {
    CHECK(parse_body("{\"a\": \"\\\"" + std::string(1000, '{') + "\"}").has_value());
}

TEST_CASE("an object with very many keys is refused before it is built") {
    std::string body = "{\"k\":0";
    for (int i = 0; i < 200'000; i++)
        body += ",\"" + std::to_string(i) + "\":0";
    CHECK(parse_body(body + "}").error() == "The request body has objects with too many keys.");
}

TEST_CASE("a body with millions of values is refused before it is built") {
    std::string body = "{\"x\":[0";
    for (int i = 0; i < (1 << 22); i++)
        body += ",0";
    CHECK(parse_body(body + "]}").error() == "The request body has too many values.");
}

TEST_CASE("of a repeated key the last value counts") {
    const Json body = require_body(R"({"a": 1, "b": 2, "a": 3})");
    CHECK(Fields(body).integer("a", 0, 9) == 3);
}

TEST_CASE("a bad body names no parameter") {
    const ApiError refusal = refusal_of([] { (void)require_body("{"); });
    CHECK(refusal.status == 400);
    CHECK(refusal.param.empty());
}

TEST_CASE("null and absent are the same") {
    const Json body = require_body(R"({"a": null})");
    const Fields fields(body);
    CHECK(!fields.integer("a", 0, 1).has_value());
    CHECK(!fields.number("b", 0, 1).has_value());
    CHECK(!fields.boolean("a").has_value());
    CHECK(fields.string("a") == nullptr);
    CHECK(!fields.object("a").has_value());
    CHECK(!fields.array("b", 1).has_value());
    CHECK(refusal_of([&] { (void)fields.require("a"); }).param == "a");
}

TEST_CASE("integers are refused outside their range, beyond 64 bits and as fractions") {
    const Json body = require_body(
        R"({"low": -1, "high": 10, "huge": 9223372036854775808, "vast": 123456789012345678901234,
            "whole": 1.0, "text": "NaN", "most": 9223372036854775807,
            "least": -9223372036854775808})");
    const Fields fields(body);
    for (const char* key : {"low", "high", "huge", "vast", "whole", "text"}) {
        CAPTURE(key);
        const ApiError refusal = refusal_of([&] { (void)fields.integer(key, 0, 9); });
        CHECK(refusal.param == key);
        CHECK(refusal.message == std::string(key) + " must be an integer from 0 to 9");
    }
    CHECK(refusal_of([&] { (void)fields.integer("huge", 0, kLargest); }).param == "huge");
    CHECK(fields.integer("most", 0, kLargest) == kLargest);
    CHECK(fields.integer("least", -kLargest - 1, kLargest) == -kLargest - 1);
    CHECK(fields.integer("high", 10, 10) == 10);
}

TEST_CASE("numbers take integers and refuse what is outside their range") {
    const Json body = require_body(R"({"a": 1, "b": 0.5, "c": 2.5, "d": "1"})");
    const Fields fields(body);
    CHECK(fields.number("a", 0, 1) == 1.0);
    CHECK(fields.number("b", 0, 1) == 0.5);
    CHECK(refusal_of([&] { (void)fields.number("c", 0, 2); }).message ==
          "c must be a number from 0 to 2");
    CHECK(refusal_of([&] { (void)fields.number("d", 0, 2); }).param == "d");
}

TEST_CASE("a refusal names the place inside objects and arrays") {
    const Json body = require_body(R"({"messages": [{}, {"content": [{"type": 7}]}]})");
    const std::vector<Field> messages = Fields(body).require("messages").array(9);
    const Fields part = messages[1].object().require("content").array(9)[0].object();
    CHECK(refusal_of([&] { (void)part.string("type"); }).param == "messages[1].content[0].type");
    CHECK(refusal_of([&] { (void)messages[0].object().require("role"); }).param ==
          "messages[0].role");
    CHECK(refusal_of([&] { (void)Fields(body).array("messages", 1); }).message ==
          "messages must have at most 1 items");
}

TEST_CASE("a refusal never repeats what was sent") {
    const Json body = require_body(R"({"a": "canary"})");
    const Fields fields(body);
    const ApiError refusal = refusal_of([&] { (void)fields.boolean("a"); });
    CHECK(refusal.message == "a must be true or false");
    CHECK(parse_body("{\"canary").error().find("canary") == std::string::npos);
}
