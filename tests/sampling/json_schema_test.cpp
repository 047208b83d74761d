#include "sampling/json_schema.h"

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include "sampling/grammar_automaton.h"
#include "tests/sampling/schema_samples.h"
#include "tests/sampling/schema_validator.h"

using namespace baltoro;

namespace {

bool accepts(GrammarAutomaton& automaton, std::string_view text) {
    GrammarAutomaton::Place place = automaton.restart();
    for (const char byte : text) {
        bool has_forgotten = false;
        place = automaton.make_room(automaton.step(place, static_cast<std::uint8_t>(byte)),
                                    has_forgotten);
    }
    return automaton.is_complete(place);
}

bool accepts(const std::string& schema, std::string_view text) {
    const Result<Grammar> grammar = compile_json_schema(schema);
    REQUIRE_MESSAGE(grammar.has_value(), grammar.error());
    GrammarAutomaton automaton(*grammar);
    return accepts(automaton, text);
}

// Why a schema is refused, within the second that a hostile one may take.
std::string refusal(const std::string& schema) {
    const auto begin = std::chrono::steady_clock::now();
    const Result<Grammar> grammar = compile_json_schema(schema);
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
    CHECK(took.count() < 1.0);
    REQUIRE_FALSE(grammar.has_value());
    return grammar.error();
}

std::string repeated(std::string_view text, int n) {
    std::string result;
    for (int i = 0; i < n; ++i)
        result += text;
    return result;
}

}  // namespace

TEST_CASE("documents that satisfy a schema are accepted, others are refused") {
    for (const SchemaSample& sample : kSchemaSamples) {
        CAPTURE(sample.schema);
        const Result<Grammar> grammar = compile_json_schema(sample.schema);
        REQUIRE_MESSAGE(grammar.has_value(), grammar.error());
        GrammarAutomaton automaton(*grammar);
        const nlohmann::json schema = nlohmann::json::parse(sample.schema);
        for (const std::string_view document : sample.accepted) {
            CAPTURE(document);
            CHECK(accepts(automaton, document));
            CHECK(satisfies(schema, nlohmann::json::parse(document), schema));
        }
        for (const std::string_view document : sample.refused) {
            CAPTURE(document);
            CHECK_FALSE(accepts(automaton, document));
        }
    }
}

TEST_CASE("nothing but a value is a text: no space around it, no second one") {
    for (const char* text : {"", " {}", "{} ", "{}{}", "{ }", "{\n}", "\xef\xbb\xbf{}", "{"}) {
        CAPTURE(text);
        CHECK_FALSE(accepts("{}", text));
    }
}

TEST_CASE("strings are valid UTF-8 with valid escapes") {
    const std::string schema = R"({"type":"string"})";
    for (const char* content :
         {"", "a", "\x7f", "\xc2\x80", "\xdf\xbf", "\xe0\xa0\x80", "\xed\x9f\xbf", "\xee\x80\x80",
          "\xef\xbf\xbf", "\xf0\x90\x80\x80", "\xf3\xbf\xbf\xbf", "\xf4\x8f\xbf\xbf",
          R"(\"\\\/\b\f\n\r\t)", R"(\u0000\u00e9\uABCD\uD7ff\ue000)", R"(\ud83d\uDE00)",
          R"(\uDbff\udfff)"}) {
        CAPTURE(content);
        CHECK(accepts(schema, '"' + std::string(content) + '"'));
        CHECK(nlohmann::json::accept('"' + std::string(content) + '"'));
    }
    for (const char* content : {"\n",
                                "\x1f",
                                "\x80",
                                "\xc0\x80",
                                "\xc1\xbf",
                                "\xc2",
                                "\xc2\x41",
                                "\xe0\x9f\xbf",
                                "\xed\xa0\x80",
                                "\xf0\x8f\xbf\xbf",
                                "\xf4\x90\x80\x80",
                                "\xf5\x80\x80\x80",
                                "\xff",
                                R"(\)",
                                R"(\x41)",
                                R"(\u12)",
                                R"(\u12g4)",
                                R"(\ud83d)",
                                R"(\ud83da)",
                                R"(\ud83d\n)",
                                R"(\ud83d\u0041)",
                                R"(\ude00)",
                                "a\"b"}) {
        CAPTURE(content);
        CHECK_FALSE(accepts(schema, '"' + std::string(content) + '"'));
    }
}

TEST_CASE("numbers are spelt as JSON spells them, with bounded digits") {
    const std::string number = R"({"type":"number"})";
    const std::string integer = R"({"type":"integer"})";
    for (const char* text : {"0", "-0", "7", "-12", "18446744073709551615"}) {
        CAPTURE(text);
        CHECK(accepts(number, text));
        CHECK(accepts(integer, text));
    }
    for (const char* text : {"0.5", "-1.25", "1e5", "1E+5", "2.5e-10", "0.00001234567890123456"}) {
        CAPTURE(text);
        CHECK(accepts(number, text));
        CHECK_FALSE(accepts(integer, text));
    }
    for (const char* text : {"", "-", "01", "+1", ".5", "1.", "1e", "1e+", "0x1", "1e999", "NaN",
                             "Infinity", "123456789012345678901"}) {
        CAPTURE(text);
        CHECK_FALSE(accepts(number, text));
        CHECK_FALSE(accepts(integer, text));
    }
}

TEST_CASE("an additional key is none of the properties' by any spelling") {
    const std::string schema =
        R"({"properties":{"ab":{"type":"null"},"é":{"type":"null"},"a\"b":{"type":"null"}},)"
        R"("additionalProperties":{"type":"integer"}})";
    for (const char* key : {"", "a", "abc", "b", "ac", "aa", "è", "éé", "e", "€", "a/",
                            R"(b\u0061)", R"(x\n)", R"(ab\n)", R"(é\u0061)"}) {
        CAPTURE(key);
        CHECK(accepts(schema, "{\"" + std::string(key) + "\":1}"));
    }
    for (const char* key :
         {"ab", "é", R"(a\"b)", R"(\u0061b)", R"(a\u0062)", R"(\u00e9)", R"(a\u0022b)", "\xc3"}) {
        CAPTURE(key);
        CHECK_FALSE(accepts(schema, "{\"" + std::string(key) + "\":1}"));
    }
}

TEST_CASE("keywords that only describe or bound single values are ignored") {
    const std::string schema =
        R"({"$schema":"https://json-schema.org/draft/2020-12/schema","$id":"x","title":"T",)"
        R"("description":"d","default":1,"examples":[1],"type":"integer","minimum":5,)"
        R"("maximum":9,"exclusiveMinimum":1,"multipleOf":2,"x-order":3,"deprecated":true})";
    CHECK(accepts(schema, "3"));
    CHECK(accepts(R"({"type":"string","format":"date","pattern":"^(a+)+$"})", R"("zz")"));
}

TEST_CASE("schemas that are none are refused by the keyword") {
    const auto contains = [](const std::string& schema, const char* reason) {
        CAPTURE(schema);
        CHECK(refusal(schema).find(reason) != std::string::npos);
    };
    contains("", "not valid JSON");
    contains("{", "not valid JSON");
    contains("{\"a\":\"\xff\"}", "not valid JSON");
    contains("[1]", "a schema: expected an object");
    contains("\"object\"", "a schema: expected an object");
    contains("null", "a schema: expected an object");
    contains(R"({"type":"objekt"})", "type: expected");
    contains(R"({"type":[1]})", "type: expected");
    contains(R"({"type":{}})", "type: expected");
    contains(R"({"properties":[]})", "properties: expected");
    contains(R"({"properties":{"a":7}})", "a schema: expected");
    contains(R"({"required":"a"})", "required: expected");
    contains(R"({"required":[1]})", "required: expected");
    contains(R"({"items":3})", "a schema: expected");
    contains(R"({"prefixItems":{}})", "prefixItems: expected");
    contains(R"({"enum":"a"})", "enum: expected");
    contains(R"({"anyOf":{}})", "anyOf: expected");
    contains(R"({"anyOf":[]})", "anyOf: expected");
    contains(R"({"allOf":[1]})", "a schema: expected");
    contains(R"({"minLength":-1})", "minLength: expected");
    contains(R"({"maxLength":1.5})", "maxLength: expected");
    contains(R"({"minItems":"3"})", "minItems: expected");
    contains(R"({"additionalProperties":"no"})", "a schema: expected");
    contains(R"({"$ref":5})", "$ref: expected");
    contains(R"({"$ref":"http://example.com/a"})", "$ref: expected");
    contains(R"({"$ref":"#/$defs/none"})", "$ref: expected");
    contains(R"({"$ref":"#anchor"})", "$ref: expected");
    contains(R"({"not":{"type":"null"}})", "not is not supported");
    contains(R"({"properties":{"a":{"if":{}}}})", "if is not supported");
    contains(R"({"enum":[{"a":1}],"required":["b"],"type":"object"})", "not supported");
    contains(R"({"patternProperties":{}})", "patternProperties is not supported");
}

TEST_CASE("schemas that no finite value satisfies are refused") {
    const auto is_unsatisfiable = [](const std::string& schema) {
        CAPTURE(schema);
        CHECK(refusal(schema) == "no finite value satisfies it");
    };
    is_unsatisfiable("false");
    is_unsatisfiable(R"({"enum":[]})");
    is_unsatisfiable(R"({"enum":["a"],"type":"integer"})");
    is_unsatisfiable(R"({"type":"array","minItems":3,"maxItems":2})");
    is_unsatisfiable(R"({"type":"string","minLength":3,"maxLength":2})");
    is_unsatisfiable(R"({"type":"object","properties":{"x":{"$ref":"#"}},"required":["x"]})");
    is_unsatisfiable(R"({"allOf":[{"type":"string"},{"type":"null"}]})");
    is_unsatisfiable(R"({"properties":{"x":false},"required":["x"]})");
}

TEST_CASE("references that lead to themselves are refused") {
    CHECK(refusal(R"({"$ref":"#"})").find("lead to themselves") != std::string::npos);
    CHECK(refusal(R"({"$ref":"#/$defs/a","$defs":{"a":{"$ref":"#/$defs/b"},)"
                  R"("b":{"$ref":"#/$defs/a"}}})")
              .find("lead to themselves") != std::string::npos);
    CHECK(refusal(R"({"allOf":[{"$ref":"#"},{"type":"object"}]})").find("lead to themselves") !=
          std::string::npos);
    CHECK(refusal(R"({"anyOf":[{"$ref":"#"},{"type":"string"}]})") ==
          "it refers to itself without an object or array in between");
}

TEST_CASE("schema bombs are refused within a second") {
    const std::string deep_items = repeated(R"({"items":)", 200) + "{}" + repeated("}", 200);
    CHECK(refusal(deep_items).find("nested deeper than 32") != std::string::npos);
    const std::string deep =
        repeated(R"({"type":"object","properties":{"a":)", 200) + "{}" + repeated("}}", 200);
    CHECK(refusal(deep).find("nested deeper than 32") != std::string::npos);
    CHECK(refusal(repeated("[", 100000)).find("nested deeper") != std::string::npos);
    CHECK(refusal(R"({"enum":[0)" + repeated(",1", 100000) + "]}").find("10000 values") !=
          std::string::npos);
    CHECK(refusal(R"({"enum":[0)" + repeated(",1", 1000) + "]}").find("enum: it has 1001") !=
          std::string::npos);
    CHECK(refusal(R"({"title":")" + repeated("x", 2000000) + "\"}").find("bytes") !=
          std::string::npos);
    CHECK(refusal(R"({"properties":{")" + repeated("x", 5000) + "\":{}}}").find("name") !=
          std::string::npos);
    std::string many = R"({"properties":{"p":{})";
    for (int i = 0; i < 1000; ++i)
        many += ",\"p" + std::to_string(i) + "\":{}";
    CHECK(refusal(many + "}}").find("1001 properties") != std::string::npos);
    for (const char* keyword : {"minItems", "maxItems", "minLength", "maxLength"}) {
        CAPTURE(keyword);
        const std::string huge = "{\"" + std::string(keyword) + "\":2147483648}";
        CHECK(refusal(huge).find("more than the 10000") != std::string::npos);
        const std::string vast = "{\"" + std::string(keyword) + "\":1e300}";
        CHECK(refusal(vast).find("more than the 10000") != std::string::npos);
    }
    std::string long_strings = R"({"prefixItems":[{"maxLength":10000})";
    for (int i = 9000; i < 9100; ++i)
        long_strings += R"(,{"maxLength":)" + std::to_string(i) + "}";
    CHECK(refusal(long_strings + "]}").find("states") != std::string::npos);
}

TEST_CASE("merging that multiplies is refused within a second") {
    // Each level merges two copies of the next, which differ.
    std::string schema = R"({"$ref":"#/$defs/a0","$defs":{)";
    for (int i = 0; i < 30; ++i) {
        const std::string next = R"({"$ref":"#/$defs/a)" + std::to_string(i + 1) + "\"}";
        const std::string half = R"({"properties":{"x":)" + next + R"(,"y":{"allOf":[)" + next +
                                 R"(,{"required":["z)" + std::to_string(i) + "\"]}]}}}";
        schema += "\"a" + std::to_string(i) + R"(":{"allOf":[)" + half + "," + half + "]},";
    }
    schema += R"("a30":{"type":"object"}}})";
    const auto begin = std::chrono::steady_clock::now();
    const Result<Grammar> grammar = compile_json_schema(schema);
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
    CHECK(took.count() < 1.0);
    if (grammar) CHECK(grammar->n_states() < GrammarBuilder::kMaxStates);
}

TEST_CASE("the largest schemas that are accepted compile within a second") {
    std::string properties = R"({"type":"object","properties":{"p0":{"type":"string"})";
    for (int i = 1; i < 1000; ++i)
        properties += ",\"p" + std::to_string(i) + R"(":{"type":"string"})";
    std::string values = R"({"enum":["v0")";
    for (int i = 1; i < 1000; ++i)
        values += ",\"v" + std::to_string(i) + "\"";
    const auto begin = std::chrono::steady_clock::now();
    CHECK(accepts(properties + "}}", R"({"p7":"","p999":"x"})"));
    CHECK(accepts(values + "]}", R"("v999")"));
    CHECK_FALSE(accepts(values + "]}", R"("v1000")"));
    CHECK(accepts(R"({"type":"string","minLength":9999,"maxLength":10000})",
                  '"' + repeated("é", 10000) + '"'));
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
    CHECK(took.count() < 4.0);  // four of them
}
