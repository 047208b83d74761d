#include "tests/clients/script.h"

#include <doctest/doctest.h>

#include "base/error.h"

using namespace baltoro;
using namespace baltoro::testing;

TEST_CASE("the last rule that fits what was heard wins") {
    const Script script = Script::parse(
        R"([{"when": "", "answer": "any"}, {"when": "rain", "answer": "wet"},
            {"when": "snow", "answer": "white", "ms_per_token": 5, "ms_per_prompt_token": 7}])",
        "test");
    CHECK(script.rule_for("hello").answer == "any");
    CHECK(script.rule_for("will it rain?").answer == "wet");
    CHECK(script.rule_for("rain and snow").answer == "white");
    CHECK(script.rule_for("snow").ms_per_token == 5);
    CHECK(script.rule_for("snow").ms_per_prompt_token == 7);
}

TEST_CASE("a script without a fitting rule still answers") {
    CHECK_FALSE(Script::parse("[]", "test").rule_for("hello").answer.empty());
}

TEST_CASE("a script that is not one is refused with its place") {
    CHECK_THROWS_WITH_AS(Script::parse("{}", "f"), "f: expected a JSON array of rules", Error);
    CHECK_THROWS_WITH_AS(Script::parse("[", "f"), "f: expected a JSON array of rules", Error);
    CHECK_THROWS_WITH_AS(Script::parse("[1]", "f"), "f: rule 0: expected an object", Error);
    CHECK_THROWS_WITH_AS(Script::parse(R"([{"answer": "a"}, {"answer": 1}])", "f"),
                         "f: rule 1: a value has the wrong type", Error);
    CHECK_THROWS_WITH_AS(Script::parse(R"([{"answer": "a", "wen": "b"}])", "f"),
                         "f: rule 0: unknown key wen", Error);
    CHECK_THROWS_WITH_AS(Script::parse(R"([{"when": "b"}])", "f"),
                         "f: rule 0: expected either answer or n_random_letters", Error);
    CHECK_THROWS_WITH_AS(Script::parse(R"([{"answer": "a", "ms_per_token": -1}])", "f"),
                         "f: rule 0: -1 is not in 0 to 10000", Error);
}

TEST_CASE("an answer goes on where it stands") {
    CHECK(rest_of_answer("hello", "") == "hello");
    CHECK(rest_of_answer("hello", "hel") == "lo");
    CHECK(rest_of_answer("hello", "hello") == "");
}

TEST_CASE("an answer goes on after forced text that is not its own") {
    CHECK(rest_of_answer("<call>f:0<args>{}", "<call>f:7<args>") == "{}");
    CHECK(rest_of_answer("<call>f:0<args>{}", "<call>f:7<args>{") == "}");
    CHECK(rest_of_answer("<call>f:0<args>{}", "<call>f:7<args>{}") == "");
    CHECK(rest_of_answer("abc", "xyz") == "abc");
}

TEST_CASE("an answer after foreign text comes to an end") {
    const std::string_view answer = "abab cab";
    for (std::string written : {"?", "?b", "?ab", "?cab", "?ba"}) {
        CAPTURE(written);
        for (int n = 0; n < 20 && !rest_of_answer(answer, written).empty(); n++)
            written += rest_of_answer(answer, written).front();
        CHECK(rest_of_answer(answer, written).empty());
    }
}

TEST_CASE("a text goes on with the answer that it has begun") {
    CHECK(rest_of_text(" upon a time", "Once") == " upon a time");
    CHECK(rest_of_text(" upon a time", "Once upon") == " a time");
    CHECK(rest_of_text(" upon a time", "Once upon a time") == "");
}
