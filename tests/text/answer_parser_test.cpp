#include "text/answer_parser.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include "base/mapped_file.h"
#include "base/random.h"
#include "tests/text/parsed_answer.h"
#include "tests/text/tokenizer_fixture.h"

using namespace baltoro;
using nlohmann::json;

namespace {

AnswerFormat with_two_tools() {
    return {.tools = {tool("ReadFile", R"(["path"])", R"({"path":{"type":"string"}})"),
                      tool("get_weather", R"(["city"])", R"({"city":{},"unit":{}})")}};
}

ParsedCall complete(std::string id, std::string name, std::string arguments) {
    return {std::move(id), std::move(name), std::move(arguments), true, true};
}

// A case's tools list their properties' names.
AnswerFormat format_of(const json& test) {
    AnswerFormat format{.tools = {}, .has_reasoning = true};
    if (!test.contains("tools")) return format;
    for (const json& declared : test.at("tools")) {
        json properties = json::object();
        for (const json& name : declared.at("properties"))
            properties[name.get<std::string>()] = json::object();
        format.tools.push_back(tool(declared.at("name").get<std::string>(),
                                    declared.at("required").dump(), properties.dump()));
    }
    return format;
}

void check_case(const json& test) {
    std::string text;
    for (const json& chunk : test.at("chunks"))
        text += chunk.get<std::string>();
    const ParsedAnswer answer = parsed(text, format_of(test));
    if (test.at("content").is_string())
        CHECK(answer.content == test.at("content").get<std::string>());
    CHECK(answer.reasoning == test.value("reasoning", ""));
    const json& calls = test.at("calls");
    REQUIRE(answer.calls.size() == calls.size());
    for (std::size_t i = 0; i < calls.size(); ++i) {
        CHECK(answer.calls[i].id == calls[i].at("id").get<std::string>());
        CHECK(answer.calls[i].name == calls[i].at("name").get<std::string>());
        CHECK(answer.calls[i].arguments == calls[i].at("arguments").get<std::string>());
    }
}

}  // namespace

TEST_CASE("the collected cases of tool calls parse as stated") {
    const std::string path = std::string(BALTORO_SHARED_DIR) + "/chat/tool_call_cases.json";
    if (!std::filesystem::exists(path)) {
        MESSAGE("skipped: no " << path);
        return;
    }
    const json file = json::parse(read_small_file(path, std::size_t{1} << 24));
    REQUIRE(!file.at("cases").empty());
    for (const json& test : file.at("cases")) {
        CAPTURE(test.at("name").get<std::string>());
        check_case(test);
    }
}

TEST_CASE("calls come with trimmed ids and arguments and the text around them is content") {
    const ParsedAnswer answer =
        parsed("Let me look. " +
               section_text(" " + call_text("\nfunctions.a:0 ", " {\"x\": 1} \n") + " noise " +
                            call_text("functions.b-c:1", "{}")) +
               "Done é.");
    CHECK(answer.content == "Let me look. Done é.");
    CHECK((answer.calls == std::vector<ParsedCall>{complete("functions.a:0", "a", "{\"x\": 1}"),
                                                   complete("functions.b-c:1", "b-c", "{}")}));
    CHECK(answer.n_complete_calls == 2);
}

TEST_CASE("names keep their dots and lose the prefix and the counter") {
    CHECK(parsed(call_text("api.tools.search:0", "{}")).calls.at(0).name == "api.tools.search");
    CHECK(parsed(call_text("functions.a.b:12", "{}")).calls.at(0).name == "a.b");
    CHECK(parsed(call_text("get_weather:0", "{}")).calls.at(0).name == "get_weather");
    CHECK(parsed(call_text("functions.x:\n0", "{}")).calls.empty());
    CHECK(parsed(call_text("functions.:0", "{}")).calls.empty());
    CHECK(parsed(call_text("functions.x:", "{}")).calls.empty());
}

TEST_CASE("a declared name counts even without a counter and an undeclared one passes") {
    CHECK(parsed(call_text("functions.ReadFile", "{}"), with_two_tools()).calls.at(0).name ==
          "ReadFile");
    CHECK(parsed(call_text("ReadFile", "{}"), with_two_tools()).calls.at(0).name == "ReadFile");
    CHECK(parsed(call_text("functions.Other:3", "{}"), with_two_tools()).calls.at(0).name ==
          "Other");
    AnswerFormat prefixed;
    prefixed.tools = {{"functions.x", ""}};
    CHECK(parsed(call_text("functions.x:0", "{}"), prefixed).calls.at(0).name == "functions.x");
}

TEST_CASE("an id that names no function gets the only tool that accepts the arguments") {
    const AnswerFormat format = with_two_tools();
    const std::string id = "toolu_01KPuJ9wUyn6EMNvM6D3vSWE";
    CHECK((parsed(call_text(id, " {\"path\": \"/a\"} "), format).calls ==
           std::vector<ParsedCall>{complete(id, "ReadFile", "{\"path\": \"/a\"}")}));
    CHECK(parsed(call_text("0", "{\"city\":\"x\",\"unit\":1}"), format).calls.at(0).name ==
          "get_weather");
    CHECK(parsed(call_text("0", "{\"unit\": 1}"), format).calls.empty());
    CHECK(parsed(call_text("0", "{\"city\":\"x\",\"other\":1}"), format).calls.empty());
    CHECK(parsed(call_text("0", "{\"city\":\"x\""), format).calls.empty());
    CHECK(parsed(call_text("0", "[\"path\"]"), format).calls.empty());
    CHECK(parsed(call_text("0", ""), format).calls.empty());
    CHECK(parsed(call_text("weird@id", "{}")).calls.empty());
}

TEST_CASE("several tools that accept the arguments drop the call and the next one is reported") {
    AnswerFormat format = with_two_tools();
    format.tools.push_back(tool("cat", R"(["path"])", R"({"path":{}})"));
    const ParsedAnswer answer = parsed(
        section_text(call_text("0", "{\"path\":\"a\"}") + call_text("functions.cat:1", "{}")),
        format);
    CHECK((answer.calls == std::vector<ParsedCall>{complete("functions.cat:1", "cat", "{}")}));
    CHECK(answer.n_complete_calls == 1);
}

TEST_CASE("reasoning ends at its marker or at the first call") {
    const AnswerFormat format{.tools = {}, .has_reasoning = true};
    const ParsedAnswer closed = parsed("<think>Hm.</think>Yes", format);
    CHECK(closed.reasoning == "Hm.");
    CHECK(closed.content == "Yes");
    for (const std::string& calls :
         {section_text(call_text("functions.a:0", "{}")), call_text("functions.a:0", "{}")}) {
        const ParsedAnswer open = parsed("<think>Hm." + calls + "After", format);
        CHECK(open.reasoning == "Hm.");
        CHECK(open.content == "After");
        CHECK(open.calls.size() == 1);
    }
    CHECK(parsed("<think>a<|tool_calls_section_end|>b", format).reasoning == "ab");
}

TEST_CASE("an answer may start inside reasoning") {
    const AnswerFormat format{.tools = {}, .has_reasoning = true, .starts_in_reasoning = true};
    const ParsedAnswer answer = parsed("Hm.</think>Yes", format);
    CHECK(answer.reasoning == "Hm.");
    CHECK(answer.content == "Yes");
    CHECK(parsed("<think>Hm.", format).reasoning == "Hm.");
}

TEST_CASE("a model that does not think has no reasoning") {
    const ParsedAnswer answer = parsed("<think>a</think>b");
    CHECK(answer.content == "ab");
    CHECK(answer.reasoning.empty());
}

TEST_CASE("tool calls that are not wanted vanish with their sections") {
    AnswerFormat format = with_two_tools();
    format.drops_calls = true;
    const std::string calls = call_text("functions.ReadFile:0", "{}") + call_text("0", "{}");
    for (const std::string& text : {section_text(calls), calls}) {
        const ParsedAnswer answer = parsed("a " + text + "b", format);
        CHECK(answer.content == "a b");
        CHECK(answer.calls.empty());
        CHECK(answer.n_complete_calls == 0);
    }
}

TEST_CASE("stray markers and other special tokens never reach the client") {
    CHECK(parsed("a<|tool_call_end|>b<|tool_call_argument_begin|>c<|im_end|></think>d").content ==
          "abcd");
    CHECK(parsed(section_text("a<|tool_call_end|>b<|tool_call_argument_begin|>c<think>d")) ==
          ParsedAnswer{});
    CHECK(parsed(call_text("functions.a:0", "{<|im_end|>}")).calls.at(0).arguments == "{}");
}

TEST_CASE("white space between calls without a section is no content and text after them is") {
    const std::string call = call_text("functions.a:0", "{}");
    CHECK(parsed(call + " \n" + call + "\n").content == "");
    CHECK(parsed(call + " \n" + call + "\n").calls.size() == 2);
    CHECK(parsed(call + " \n x ").content == " \n x ");
    CHECK(parsed(call + " \n<|tool_calls_section_end|> x").content == " x");
}

TEST_CASE("a call ends where the next one or the section's end shows that it is over") {
    const std::string open = "<|tool_call_begin|>functions.a:0<|tool_call_argument_begin|>{} ";
    const ParsedAnswer answer = parsed(section_text(open + open) + "x");
    CHECK(answer.calls == std::vector<ParsedCall>(2, complete("functions.a:0", "a", "{}")));
    CHECK(answer.content == "x");
}

TEST_CASE("a call that is cut reports what it has") {
    const ParsedAnswer cut =
        parsed("<|tool_call_begin|>functions.a:0<|tool_call_argument_begin|> {\"x\": ");
    CHECK((cut.calls == std::vector<ParsedCall>{{"functions.a:0", "a", "{\"x\": ", true, false}}));
    CHECK(cut.n_complete_calls == 0);
    CHECK((parsed("<|tool_call_begin|>functions.a:0 ").calls ==
           std::vector<ParsedCall>{{"functions.a:0", "a", "", true, false}}));
    CHECK(parsed("<|tool_call_begin|>functions.Read", with_two_tools()).calls.empty());
    CHECK(parsed("<|tool_call_begin|>").calls.empty());
    CHECK(parsed("<|tool_call_begin|>0<|tool_call_argument_begin|>{\"path\":", with_two_tools())
              .calls.empty());
}

TEST_CASE("thinking markers inside arguments are the text that they spell") {
    CHECK(
        parsed(call_text("functions.a:0", "{\"s\":\"<think>x</think>\"}")).calls.at(0).arguments ==
        "{\"s\":\"<think>x</think>\"}");
}

TEST_CASE("text that spells markers stays text") {
    for (const std::string_view spelling : kSpecialSpellings) {
        CAPTURE(spelling);
        AnswerParser parser({.tools = {}, .has_reasoning = true});
        std::vector<AnswerPart> parts;
        parser.push_text(spelling, parts);
        REQUIRE(parts.size() == 1);
        CHECK((parts[0].kind == AnswerPart::Kind::content));
        CHECK(parts[0].text == spelling);
        parts.clear();
        parser.push_marker(Marker::call_begin, parts);
        parser.push_text("functions.a:0", parts);
        parser.push_marker(Marker::call_argument_begin, parts);
        parser.push_text(spelling, parts);
        REQUIRE(parts.size() == 2);
        CHECK((parts[1].kind == AnswerPart::Kind::call_arguments));
        CHECK(parts[1].text == spelling);
    }
}

TEST_CASE("nothing is held back but what the rules force") {
    AnswerParser parser(with_two_tools());
    std::vector<AnswerPart> parts;
    parser.push_text("a <", parts);
    CHECK(parts.back().text == "a <");
    parser.push_marker(Marker::section_begin, parts);
    parser.push_marker(Marker::call_begin, parts);
    parser.push_text("functions.ReadFile:0 ", parts);
    CHECK(parts.size() == 1);
    parser.push_marker(Marker::call_argument_begin, parts);
    REQUIRE(parts.size() == 2);
    CHECK(parts.back().name == "ReadFile");
    CHECK(parts.back().text == "functions.ReadFile:0");
    parser.push_text(" {\"path\":  ", parts);
    REQUIRE(parts.size() == 3);
    CHECK(parts.back().text == "{\"path\":");
    parser.push_text("1", parts);
    CHECK(parts.back().text == "  1");
    parser.push_marker(Marker::call_end, parts);
    CHECK(parts.size() == 5);
    CHECK(parser.n_complete_calls() == 1);
}

TEST_CASE("arguments and white space of megabytes take linear time") {
    AnswerParser parser(with_two_tools());
    std::vector<AnswerPart> parts;
    parser.push_marker(Marker::call_begin, parts);
    parser.push_text("0", parts);
    parser.push_marker(Marker::call_argument_begin, parts);
    const std::string spaces(1'000'000, ' ');
    const auto start = std::chrono::steady_clock::now();
    parser.push_text("{\"path\":", parts);
    for (const char& space : spaces)
        parser.push_text({&space, 1}, parts);
    parser.push_text("\"" + std::string(1'000'000, 'x'), parts);
    for (int i = 0; i < 1'000'000; ++i)
        parser.push_text("y", parts);
    parser.push_text("\"}", parts);
    parser.push_marker(Marker::call_end, parts);
    // Quadratic work would be 10^12 bytes.
    CHECK(std::chrono::steady_clock::now() - start < std::chrono::seconds(20));
    REQUIRE(parts.size() == 3);
    CHECK(parts[0].name == "ReadFile");
    CHECK(parts[1].text.size() == 8 + 1'000'000 + 1 + 2'000'000 + 2);
}

TEST_CASE("markers are recognised among the special tokens only") {
    const Tokenizer tokenizer = Tokenizer::from_ranks(byte_ranks(),
                                                      {{"<|tool_calls_section_begin|>", 300},
                                                       {"<|tool_call_section_begin|>", 301},
                                                       {"<|tool_calls_section_end|>", 302},
                                                       {"<|tool_call_section_end|>", 303},
                                                       {"<|tool_call_begin|>", 304},
                                                       {"<|tool_call_argument_begin|>", 305},
                                                       {"<|tool_call_end|>", 306},
                                                       {"<think>", 307},
                                                       {"</think>", 308},
                                                       {"<|im_end|>", 309}},
                                                      "ranks");
    constexpr std::array<Marker, 10> kExpected = {
        Marker::section_begin, Marker::section_begin, Marker::section_end,
        Marker::section_end,   Marker::call_begin,    Marker::call_argument_begin,
        Marker::call_end,      Marker::think_begin,   Marker::think_end,
        Marker::other};
    for (std::size_t i = 0; i < kExpected.size(); ++i) {
        CAPTURE(i);
        CHECK((marker_of(tokenizer, static_cast<std::int32_t>(300 + i)) == kExpected[i]));
    }
    CHECK(!marker_of(tokenizer, '<').has_value());
    CHECK(!marker_of(tokenizer, 299).has_value());
    CHECK(!marker_of(tokenizer, 310).has_value());
    CHECK(!marker_of(tokenizer, -1).has_value());
}

TEST_CASE("random sequences of markers and text do not depend on the cuts") {
    constexpr std::array<std::string_view, 9> kTexts = {
        " ", "\n", "x é", "{\"path\":\"a\"}", "functions.ReadFile:0", "0", "{", " } ", ":1"};
    for (std::uint64_t seed = 1; seed <= 300; ++seed) {
        CAPTURE(seed);
        Random random(seed);
        AnswerFormat format = with_two_tools();
        format.has_reasoning = random.below(2) == 0;
        format.starts_in_reasoning = format.has_reasoning && random.below(2) == 0;
        format.drops_calls = random.below(4) == 0;
        std::string text;
        for (std::uint64_t n = random.below(40); n > 0; --n)
            text += random.below(2) == 0 ? kSpecialSpellings[random.below(kSpecialSpellings.size())]
                                         : kTexts[random.below(kTexts.size())];
        CAPTURE(text);
        const ParsedAnswer answer = parsed(text, format);
        CHECK(answer.content.find("<|") == std::string::npos);
        CHECK((format.drops_calls ? answer.calls.empty() : true));
        CHECK(answer.n_complete_calls ==
              std::count_if(answer.calls.begin(), answer.calls.end(),
                            [](const ParsedCall& c) { return c.is_complete; }));
    }
}
