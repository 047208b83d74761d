#include "server/anthropic_messages.h"

#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <utility>

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include "server/json_fields.h"
#include "tests/server/refusal.h"

using nlohmann::json;
using namespace baltoro::server;

namespace {

ApiLimits limits() {
    ApiLimits limits;
    limits.context_size = 1000;
    limits.vocab_size = 500;
    limits.served_model = "k2";
    return limits;
}

json messages_of(const json& body) {
    return json::parse(parse_messages_request(body.dump(), limits()).messages_json);
}

json request(json messages) {
    return {{"model", "any"}, {"max_tokens", 10}, {"messages", std::move(messages)}};
}

json user(json content) {
    return request(json::array({{{"role", "user"}, {"content", std::move(content)}}}));
}

ApiError refusal(const json& body) {
    return refusal_of([&] { return parse_messages_request(body.dump(), limits()); });
}

}  // namespace

TEST_CASE("a turn with tool results becomes tool messages and the text after them") {
    const json body = request(json::array(
        {{{"role", "user"}, {"content", "list the files"}},
         {{"role", "assistant"},
          {"content", json::array({{{"type", "text"}, {"text", "I will."}},
                                   {{"type", "thinking"}, {"thinking", "hm"}, {"signature", "x"}},
                                   {{"type", "tool_use"},
                                    {"id", "toolu_1"},
                                    {"name", "Bash"},
                                    {"input", {{"command", "ls"}}}}})}},
         {{"role", "user"},
          {"content",
           json::array({{{"type", "tool_result"},
                         {"tool_use_id", "toolu_1"},
                         {"content", json::array({{{"type", "text"}, {"text", "a b"}},
                                                  {{"type", "image"}, {"source", {}}}})}},
                        {{"type", "text"}, {"text", "and now?"}}})}}}));
    const json messages = messages_of(body);
    REQUIRE(messages.size() == 4);
    CHECK(messages[1]["content"] == "I will.");
    CHECK(!messages[1].contains("reasoning_content"));  // the model has none
    CHECK(messages[1]["tool_calls"][0]["id"] == "toolu_1");
    CHECK(messages[1]["tool_calls"][0]["function"]["arguments"] == "{\"command\":\"ls\"}");
    CHECK(messages[2]["role"] == "tool");
    CHECK(messages[2]["tool_call_id"] == "toolu_1");
    CHECK(messages[2]["content"] == "a b[image omitted]");
    CHECK(messages[3] == json({{"role", "user"}, {"content", "and now?"}}));
}

TEST_CASE("system texts keep their places, the billing header goes") {
    json body = request(json::array({{{"role", "user"}, {"content", "hi"}},
                                     {{"role", "system"}, {"content", "in between"}},
                                     {{"role", "ctx"}, {"content", "from a proxy"}}}));
    body["system"] = json::array(
        {{{"type", "text"}, {"text", "x-anthropic-billing-header: cch=1"}},
         {{"type", "text"}, {"text", "You are Kimi."}, {"cache_control", {{"type", "ephemeral"}}}},
         {{"type", "text"}, {"text", "Be brief."}}});
    const json messages = messages_of(body);
    CHECK(messages[0]["content"] == "You are Kimi.\nBe brief.");
    CHECK(messages[2] == json({{"role", "system"}, {"content", "in between"}}));
    CHECK(messages[3]["role"] == "user");
}

TEST_CASE("tools, their choice and limits reach the request") {
    json body = request(json::array({{{"role", "user"}, {"content", "hi"}}}));
    body["max_tokens"] = 262144;
    body["stop_sequences"] = {"END"};
    body["tools"] = json::array(
        {{{"name", "Bash"}, {"description", "runs"}, {"input_schema", {{"type", "object"}}}},
         {{"type", "web_search_20250305"}, {"name", "web_search"}}});
    body["tool_choice"] = {{"type", "tool"}, {"name", "Bash"}, {"disable_parallel_tool_use", true}};
    const ApiRequest api = parse_messages_request(body.dump(), limits());
    CHECK(api.request.max_tokens == 1000);  // clamped
    CHECK(api.request.stop == std::vector<std::string>{"END"});
    CHECK(api.calls == ApiRequest::Calls::required);
    CHECK(api.forced_tool == "Bash");
    CHECK(api.request.one_call_only);
    const json tools = json::parse(api.tools_json);
    REQUIRE(tools.size() == 1);
    CHECK(tools[0]["function"]["parameters"]["type"] == "object");
}

TEST_CASE("fields of the wrong type are refused by name, unknown ones ignored") {
    const json good = request(json::array({{{"role", "user"}, {"content", "hi"}}}));
    json unknown = good;
    unknown["context_management"] = {{"edits", json::array()}};
    unknown["metadata"] = {{"user_id", "u"}};
    CHECK(messages_of(unknown).size() == 1);
    const json hostile = json::array({nullptr, 3, -1, 1e300, "NaN", json::array(), json::object(),
                                      true, std::string(1 << 20, 'x')});
    for (const char* key :
         {"messages", "system", "max_tokens", "temperature", "top_p", "top_k", "tools",
          "tool_choice", "stop_sequences", "stream", "thinking", "output_config", "model"}) {
        for (const json& value : hostile) {
            json body = good;
            body[key] = value;
            CAPTURE(key);
            CAPTURE(value.dump().substr(0, 40));
            try {
                (void)parse_messages_request(body.dump(), limits());
            } catch (const RequestError& error) {
                CHECK(error.refusal().status == 400);
                CHECK(error.refusal().param.starts_with(key));
            }
        }
    }
    CHECK_THROWS_AS(parse_messages_request("{", limits()), RequestError);
    CHECK_THROWS_AS(parse_messages_request(std::string(10000, '['), limits()), RequestError);
}

TEST_CASE("an image is refused where the user sends it") {
    const json body = request(json::array(
        {{{"role", "user"},
          {"content", json::array({{{"type", "image"}, {"source", {{"type", "url"}}}}})}}}));
    try {
        (void)parse_messages_request(body.dump(), limits());
        FAIL("the image was accepted");
    } catch (const RequestError& error) {
        CHECK(error.refusal().code == "unsupported_content");
        CHECK(error.refusal().param == "messages[0].content[0].type");
    }
}

TEST_CASE("a model thinks for those who ask for it") {
    json body = user("hi");
    CHECK(!parse_messages_request(body.dump(), limits()).thinking);
    CHECK(!parse_count_tokens_request(body.dump(), limits()).thinking);
    for (const char* type : {"enabled", "adaptive", "disabled"}) {
        CAPTURE(type);
        body["thinking"] = {{"type", type}, {"budget_tokens", 1024}};
        CHECK(parse_messages_request(body.dump(), limits()).thinking ==
              (type != std::string_view("disabled")));
    }
    body["thinking"] = {{"type", "sometimes"}};
    CHECK(refusal(body).param == "thinking.type");
}

TEST_CASE("a limit of any size is cut to the context") {
    json body = user("hi");
    for (const std::int64_t wanted : {std::int64_t{1001}, (std::int64_t{1} << 40) + 1,
                                      std::numeric_limits<std::int64_t>::max()}) {
        CAPTURE(wanted);
        body["max_tokens"] = wanted;
        CHECK(parse_messages_request(body.dump(), limits()).request.max_tokens == 1000);
    }
    body.erase("max_tokens");
    CHECK(parse_messages_request(body.dump(), limits()).request.max_tokens == 4096);
    body["max_tokens"] = 0;
    CHECK(refusal(body).param == "max_tokens");
}

TEST_CASE("a temperature above 1 is refused") {
    json body = user("hi");
    body["temperature"] = 1.0;
    CHECK(parse_messages_request(body.dump(), limits()).request.sampling.temperature == 1.0);
    body["temperature"] = 1.01;
    CHECK(refusal(body).param == "temperature");
    CHECK(refusal(body).message == "temperature must be a number from 0 to 1");
}

TEST_CASE("a failed tool says so even if it said nothing") {
    const auto result = [](json content) {
        return messages_of(user(json::array({{{"type", "tool_result"},
                                              {"tool_use_id", "toolu_1"},
                                              {"is_error", true},
                                              {"content", std::move(content)}}})))[0]["content"];
    };
    CHECK(result("no such file") == "Error: no such file");
    const std::string silent = "Error: the tool failed and said nothing about it.";
    CHECK(result("") == silent);
    CHECK(result(nullptr) == silent);
    CHECK(result(json::array()) == silent);
}

TEST_CASE("a search result is its title, source and texts") {
    const json block = {{"type", "search_result"},
                        {"title", "Trango"},
                        {"source", "https://example.org/t"},
                        {"content", json::array({{{"type", "text"}, {"text", "6,286 m"}},
                                                 {{"type", "text"}, {"text", "granite"}}})},
                        {"citations", {{"enabled", true}}}};
    const std::string text = "Trango\nhttps://example.org/t\n6,286 m\ngranite\n";
    const json question = {{"type", "text"}, {"text", "How high?"}};
    CHECK(messages_of(user(json::array({question, block, question})))[0]["content"] ==
          "How high?\n" + text + "How high?");
    CHECK(messages_of(user(json::array(
              {{{"type", "tool_result"},
                {"tool_use_id", "toolu_1"},
                {"content", json::array({block, block})}}})))[0]["content"] == text + text);
    json wrong = block;
    wrong["content"] = "text";
    CHECK(refusal(user(json::array({wrong}))).param == "messages[0].content[0].content");
}

TEST_CASE("messages of which nothing is left are left out, all of them are refused") {
    const json skipped = json::array({{{"type", "server_tool_use"}, {"id", "s"}}});
    const json thinking = json::array({{{"type", "redacted_thinking"}, {"data", "x"}}});
    json body = user(skipped);
    body["system"] = "Be brief.";
    CHECK(refusal(body).param == "messages");
    body["messages"].push_back({{"role", "assistant"}, {"content", thinking}});
    CHECK(refusal(body).param == "messages");
    CHECK(refusal(body).message == "messages has no content that this model reads");
    body["messages"].push_back({{"role", "user"}, {"content", "hi"}});
    const json messages = messages_of(body);
    REQUIRE(messages.size() == 2);
    CHECK(messages[0]["role"] == "system");
    CHECK(messages[1] == json({{"role", "user"}, {"content", "hi"}}));
}

TEST_CASE("the billing header goes from every system text, and nothing else with it") {
    const std::string header = "x-anthropic-billing-header: cc_version=2.1; cch=0f1e2;";
    json body = user("hi");
    body["messages"].push_back({{"role", "system"}, {"content", header}});
    body["messages"].push_back({{"role", "system"}, {"content", header + "\nAgents: none."}});
    body["messages"].push_back({{"role", "system"},
                                {"content", json::array({{{"type", "text"}, {"text", header}},
                                                         {{"type", "text"}, {"text", "Go."}}})}});
    body["messages"].push_back({{"role", "user"}, {"content", header}});
    body["system"] = header + "\nYou are Kimi.";
    const json messages = messages_of(body);
    REQUIRE(messages.size() == 5);
    CHECK(messages[0]["content"] == "You are Kimi.");
    CHECK(messages[2]["content"] == "Agents: none.");
    CHECK(messages[3]["content"] == "Go.");
    CHECK(messages[4]["content"] == header);  // the user's own words
}
