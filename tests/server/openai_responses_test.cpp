#include "server/openai_responses.h"

#include <cstdint>
#include <string>
#include <utility>

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include "server/carried_reasoning.h"
#include "server/json_fields.h"
#include "tests/server/refusal.h"

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

// A request with three tools and this choice.
json with_choice(json choice) {
    json tools = json::array();
    for (const char* name : {"shell", "read", "write"})
        tools.push_back({{"type", "function"}, {"name", name}});
    return {{"input", "hi"}, {"tools", tools}, {"tool_choice", std::move(choice)}};
}

json allowed(const char* mode, json tools) {
    return with_choice({{"type", "allowed_tools"}, {"mode", mode}, {"tools", std::move(tools)}});
}

json function(const char* name) {
    return {{"type", "function"}, {"name", name}};
}

ApiError refusal(const json& body) {
    return refusal_of([&] { return parse(body); });
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

TEST_CASE("a tool's picture becomes a word, a user's is refused") {
    const json parts = json::array({{{"type", "input_text"}, {"text", "a plot "}},
                                    {{"type", "input_image"}, {"image_url", "data:image/png,"}},
                                    {{"type", "input_file"}, {"file_data", ""}}});
    const json output = {
        {"type", "function_call_output"}, {"call_id", "call_1"}, {"output", parts}};
    const ApiRequest api = parse({{"input", json::array({output})}});
    CHECK(json::parse(api.messages_json)[0]["content"] == "a plot [image omitted][file omitted]");
    const json user = {{"role", "user"}, {"content", parts}};
    const ApiError error = refusal({{"input", json::array({user})}});
    CHECK(error.code == "unsupported_content");
    CHECK(error.param == "input[0].content[1].type");
}

TEST_CASE("allowed tools are those that may be called") {
    using Calls = ApiRequest::Calls;
    const ApiRequest some = parse(allowed(
        "auto", json::array({function("read"), function("write"), {{"type", "web_search"}}})));
    CHECK(some.calls == Calls::automatic);
    CHECK(some.forced_tool.empty());
    REQUIRE(some.request.format.tools.size() == 2);
    CHECK(some.request.format.tools[0].name == "read");
    CHECK(json::parse(some.tools_json).size() == 3);  // the prompt stays as it was

    const ApiRequest one = parse(allowed("required", json::array({function("read")})));
    CHECK(one.calls == Calls::required);
    CHECK(one.forced_tool == "read");
    const ApiRequest two =
        parse(allowed("required", json::array({function("read"), function("write")})));
    CHECK(two.calls == Calls::required);
    CHECK(two.forced_tool.empty());
}

TEST_CASE("a choice of tools that means nothing is refused by name") {
    CHECK(refusal(allowed("auto", json::array())).param == "tool_choice.tools");
    CHECK(refusal(allowed("auto", json::array({{{"type", "web_search"}}}))).param ==
          "tool_choice.tools");
    CHECK(refusal(allowed("sometimes", json::array({function("read")}))).param ==
          "tool_choice.mode");
    CHECK(refusal(allowed("auto", json::array({function("rm")}))).param ==
          "tool_choice.tools[0].name");
    CHECK(refusal(with_choice({{"type", "web_search_preview"}})).param == "tool_choice.type");
    CHECK(refusal(with_choice("sometimes")).param == "tool_choice");
}

TEST_CASE("thoughts are read from wherever a client keeps them") {
    const auto thought = [](json fields) {
        json item = {{"type", "reasoning"}, {"summary", json::array()}};
        item.update(fields);
        const json call = {{"type", "function_call"}, {"call_id", "c"}, {"name", "f"}};
        const json message =
            json::parse(parse({{"input", json::array({item, call})}}, true).messages_json)[0];
        CHECK(message.contains("tool_calls"));
        return message.value("reasoning_content", "");
    };
    const json content = json::array({{{"type", "reasoning_text"}, {"text", "first"}},
                                      {{"type", "reasoning_text"}, {"text", "second"}}});
    const json summary = json::array({{{"type", "summary_text"}, {"text", "in short"}}});
    const std::string foreign = "gAAAAABo";
    CHECK(thought({{"content", content}}) == "first\n\nsecond");
    CHECK(thought({{"content", content}, {"summary", summary}}) == "first\n\nsecond");
    CHECK(thought({{"content", nullptr}, {"summary", summary}}) == "in short");
    CHECK(thought({{"content", json::array()}, {"summary", summary}}) == "in short");
    CHECK(thought({{"encrypted_content", foreign}, {"content", content}}) == "first\n\nsecond");
    CHECK(thought({{"encrypted_content", carry_reasoning("own")}, {"content", content}}) == "own");
    CHECK(thought({{"encrypted_content", foreign}}).empty());
}

TEST_CASE("thoughts in several items belong to one turn") {
    const auto item = [](const char* text) {
        return json{{"type", "reasoning"},
                    {"summary", json::array({{{"type", "summary_text"}, {"text", text}}})}};
    };
    const json call = {{"type", "function_call"}, {"call_id", "c"}, {"name", "f"}};
    const json input = json::array({item("one"), item("two"), call, item("three")});
    const json messages = json::parse(parse({{"input", input}}, true).messages_json);
    REQUIRE(messages.size() == 2);
    CHECK(messages[0]["reasoning_content"] == "one\n\ntwo");
    CHECK(messages[0]["tool_calls"].size() == 1);
    CHECK(messages[1]["reasoning_content"] == "three");
}

TEST_CASE("a limit of output tokens is cut to the context") {
    json body = {{"input", "hi"}};
    CHECK(parse(body).request.max_tokens == 0);
    body["max_output_tokens"] = (std::int64_t{1} << 40) + 1;
    CHECK(parse(body).request.max_tokens == 1000);
    body["max_output_tokens"] = 7;
    CHECK(parse(body).request.max_tokens == 7);
}
