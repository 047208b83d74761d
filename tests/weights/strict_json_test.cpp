#include "weights/strict_json.h"

#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "base/error.h"

using namespace baltoro;

namespace {

void ignore(JsonPath /*path*/, const JsonValue& /*value*/) {}

std::string joined(JsonPath path) {
    std::string text;
    for (const std::string& key : path)
        text += "/" + key;
    return text;
}

}  // namespace

TEST_CASE("values are met in order, with the keys that lead to them") {
    std::vector<std::string> met;
    walk_json(R"({"a": [1, {"b": -2.5}, []], "c": "x", "d": {"e": true}, "f": null})", "t", 8,
              [&](JsonPath path, const JsonValue& value) {
                  met.push_back(joined(path) + "=" + std::to_string(static_cast<int>(value.kind)));
              });
    CHECK(met == std::vector<std::string>{"=5", "/a=6", "/a/[]=2", "/a/[]=5", "/a/[]/b=3",
                                          "/a/[]=6", "/c=4", "/d=5", "/d/e=1", "/f=0"});
}

TEST_CASE("integers keep all bits up to int64 and become numbers past it") {
    std::vector<JsonValue> met;
    walk_json("[9223372036854775807, -9223372036854775808, 9223372036854775808, 1e3]", "t", 8,
              [&](JsonPath path, const JsonValue& value) {
                  if (!path.empty()) met.push_back(value);
              });
    REQUIRE(met.size() == 4);
    CHECK(met[0].integer == INT64_MAX);
    CHECK(met[1].integer == INT64_MIN);
    CHECK(met[2].kind == JsonKind::number);
    CHECK(met[2].number == 0x1p63);
    CHECK(met[3].kind == JsonKind::number);
}

TEST_CASE("nesting is accepted up to the limit") {
    walk_json("[[[1]]]", "t", 3, ignore);
    CHECK_THROWS_WITH_AS(walk_json("[[[[1]]]]", "t", 3, ignore),
                         doctest::Contains("t: objects and arrays are nested deeper than the 3"),
                         Error);
    walk_json(R"({"a":{"b":{"c":1}}})", "t", 3, ignore);
    CHECK_THROWS_AS(walk_json(R"({"a":{"b":{"c":{}}}})", "t", 3, ignore), Error);
    CHECK_THROWS_AS(walk_json(std::string(5'000'000, '['), "t", 64, ignore), Error);
}

TEST_CASE("a key may occur again in another object, not in the same") {
    walk_json(R"([{"a": 1}, {"a": 1}, {"b": {"a": 1}, "a": 1}])", "t", 8, ignore);
    CHECK_THROWS_WITH_AS(walk_json(R"([{"a": 1, "b": {}, "a": 2}])", "t", 8, ignore),
                         "t: key \"a\" occurs twice in one object", Error);
}

TEST_CASE("quoted text is one printable line") {
    CHECK(in_quotes("a\n\x1b[2J\xc3\xa4") == "\"a??[2J??\"");
    CHECK(in_quotes(std::string(300, 'x')) == "\"" + std::string(200, 'x') + "...\"");
}
