#include "server/openai_responses.h"

#include <string>

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include "server/carried_reasoning.h"
#include "server/json_fields.h"

using nlohmann::json;
using namespace baltoro::server;

namespace {

ApiLimits limits(bool has_reasoning = false) {
    ApiLimits limits;
    limits.context_size = 1000;
    limits.vocab_size = 500;
    limits.served_model = "k2";
    limits.has_reasoning = has_reasoning;
    return limits;
}

ApiRequest parse(const json& body, bool has_reasoning = false) {
    return parse_responses_request(body.dump(), limits(has_reasoning));
}

}  // namespace

TEST_CASE("a string of input is a user's message after the instructions") {
    const ApiRequest api = parse({{"input", "hi"}, {"instructions", "Be brief."}});
    CHECK(json::parse(api.messages_json) ==
          json::array({{{"role", "system"}, {"content", "Be brief."}},
                       {{"role", "user"}, {"content", "hi"}}}));
}

TEST_CASE("the items of a tool loop become one assistant turn and its results") {
    const json input = json::array(
        {{{"type", "message"},
          {"role", "developer"},
          {"content", json::array({{{"type", "input_text"}, {"text", "rules"}}})}},
         {{"role", "user"}, {"content", "go"}},
         {{"type", "reasoning"},
          {"summary", json::array()},
          {"encrypted_content", carry_reasoning("first look")}},
         {{"type", "message"},
          {"role", "assistant"},
          {"content", json::array({{{"type", "output_text"}, {"text", "Looking."}}})}},
         {{"type", "function_call"},
          {"call_id", "call_1"},
          {"name", "shell"},
          {"arguments", "{\"c\":1}"}},
         {{"type", "function_call"}, {"call_id", "call_2"}, {"name", "shell"}, {"arguments", "{}"}},
         {{"type", "function_call_output"}, {"call_id", "call_1"}, {"output", "one"}},
         {{"type", "function_call_output"}, {"call_id", "call_2"}, {"output", "two"}},
         {{"type", "web_search_call"}, {"id", "ws"}}});
    const ApiRequest api = parse({{"input", input}}, true);
    const json messages = json::parse(api.messages_json);
    REQUIRE(messages.size() == 5);
    CHECK(messages[0]["role"] == "system");
    CHECK(messages[2]["reasoning_content"] == "first look");
    CHECK(messages[2]["content"] == "Looking.");
    CHECK(messages[2]["tool_calls"].size() == 2);
    CHECK(messages[3]["tool_call_id"] == "call_1");
    CHECK(messages[4]["content"] == "two");
    CHECK(api.n_past_calls == 2);
}

TEST_CASE("tools of other types are skipped and the choice names a declared one") {
    const json body = {
        {"input", "hi"},
        {"tools", json::array({{{"type", "function"},
                                {"name", "shell"},
                                {"parameters", {{"type", "object"}}},
                                {"strict", false}},
                               {{"type", "web_search"}},
                               {{"type", "namespace"}, {"name", "n"}, {"tools", json::array()}}})},
        {"tool_choice", {{"type", "function"}, {"name", "shell"}}},
        {"parallel_tool_calls", false}};
    const ApiRequest api = parse(body);
    CHECK(json::parse(api.tools_json).size() == 1);
    CHECK(api.forced_tool == "shell");
    CHECK(api.request.one_call_only);
    json other = body;
    other["tool_choice"]["name"] = "none of them";
    CHECK_THROWS_AS(parse(other), RequestError);
}

TEST_CASE("what refers to stored responses is refused as unsupported") {
    const json cases = json::array({{{"previous_response_id", "resp_1"}},
                                    {{"conversation", "conv_1"}},
                                    {{"background", true}}});
    for (json body : cases) {
        const std::string key = body.begin().key();
        body["input"] = "hi";
        CAPTURE(key);
        try {
            (void)parse(body);
            FAIL("accepted");
        } catch (const RequestError& error) {
            CHECK(error.refusal().code == "unsupported");
            CHECK(error.refusal().param == key);
        }
    }
}

TEST_CASE("hostile fields of a response are refused by name or ignored") {
    const json hostile = json::array({nullptr, 3, -1, 1e300, "NaN", json::array(), json::object(),
                                      true, std::string(1 << 20, 'x')});
    for (const char* key : {"input", "instructions", "max_output_tokens", "temperature", "top_p",
                            "tools", "tool_choice", "stream", "text", "reasoning", "model", "store",
                            "include", "parallel_tool_calls"}) {
        for (const json& value : hostile) {
            json body = {{"input", "hi"}};
            body[key] = value;
            CAPTURE(key);
            CAPTURE(value.dump().substr(0, 40));
            try {
                (void)parse(body);
            } catch (const RequestError& error) {
                CHECK(error.refusal().status == 400);
                CHECK(error.refusal().param.starts_with(key));
            }
        }
    }
    CHECK_THROWS_AS(parse_responses_request("[]", limits()), RequestError);
}
