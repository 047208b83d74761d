#include "server/anthropic_messages.h"

#include <string>

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include "server/json_fields.h"

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
