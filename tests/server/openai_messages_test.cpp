#include "server/openai_chat.h"

#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "tests/server/chat_fixture.h"
#include "tests/server/refusal.h"

using namespace baltoro;
using namespace baltoro::server;
using namespace baltoro::testing;

namespace {

// The messages of a conversation as they are rendered.
Json messages_of(const std::string& messages, const ApiLimits& limits = chat_limits()) {
    return Json::parse(
        parse_chat_request(R"({"messages": )" + messages + "}", limits).messages_json);
}

ApiError refused_messages(const std::string& messages) {
    return refusal_of([&] { return messages_of(messages); });
}

}  // namespace

TEST_CASE("all spellings of no content are one") {
    const Json expected = Json::parse(R"([{"role": "assistant", "content": ""}])");
    for (const char* content : {R"(, "content": null)", R"(, "content": "")", R"(, "content": [])",
                                R"(, "content": [{"type": "text", "text": ""}])", ""}) {
        CAPTURE(content);
        CHECK(messages_of(std::string(R"([{"role": "assistant")") + content + "}]") == expected);
    }
}

TEST_CASE("parts of text are joined and unknown keys dropped") {
    const Json messages = messages_of(
        R"([{"role": "user", "cache_control": {}, "name": "", "content": [
              {"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}},
              {"type": "text", "text": "b"}]}])");
    CHECK(messages == Json::parse(R"([{"role": "user", "content": "ab"}])"));
}

TEST_CASE("roles of other clients become those of the template") {
    const Json messages = messages_of(
        R"([{"role": "developer", "content": "d"}, {"role": "ctx", "content": "c"},
            {"role": "msg", "content": "m"}, {"role": "system", "content": "s"},
            {"role": "function", "name": "f", "content": "r"}])");
    CHECK(messages[0]["role"] == "system");
    CHECK(messages[1]["role"] == "user");
    CHECK(messages[2]["role"] == "user");
    CHECK(messages[3]["role"] == "system");
    CHECK(messages[4] == Json::parse(R"({"role": "tool", "name": "f", "content": "r"})"));
    CHECK(refused_messages(R"([{"role": "critic", "content": ""}])").param == "messages[0].role");
    CHECK(refused_messages(R"([{"content": ""}])").param == "messages[0].role");
}

TEST_CASE("content that is no text is refused by its place") {
    const ApiError refusal = refused_messages(
        R"([{"role": "user", "content": [{"type": "text", "text": ""},
             {"type": "image_url", "image_url": {"url": "http://example.com/canary"}}]}])");
    CHECK(refusal.code == "unsupported_content");
    CHECK(refusal.param == "messages[0].content[1].type");
    CHECK(refusal.message ==
          "messages[0].content[1].type is image_url, but this model reads text only");
    CHECK(refused_messages(R"([{"role": "user", "content": [{"type": "canary"}]}])").code ==
          "unsupported_content");
    CHECK(refused_messages(R"([{"role": "user", "content": 1}])").param == "messages[0].content");
    CHECK(refused_messages(R"([{"role": "user", "content": [1]}])").param ==
          "messages[0].content[0]");
    CHECK(refused_messages(R"([{"role": "user", "content": [{"type": "text"}]}])").param ==
          "messages[0].content[0].text");
}

TEST_CASE("tool calls keep their ids and arguments as text or object") {
    const std::string conversation =
        R"([{"role": "assistant", "content": null, "tool_calls": [
              {"id": "functions_read_0", "type": "function", "index": 0,
               "function": {"name": "read", "arguments": "{not json"}},
              {"id": "c2", "function": {"name": "read", "arguments": {"b": 1, "a": [2.5]}}},
              {"function": {"name": "read"}}]},
            {"role": "tool", "tool_call_id": "functions_read_0", "content": [
              {"type": "text", "text": "ok"}]}])";
    const Json messages = messages_of(conversation);
    CHECK(messages[0] == Json::parse(R"({"role": "assistant", "content": "", "tool_calls": [
            {"id": "functions_read_0", "type": "function",
             "function": {"name": "read", "arguments": "{not json"}},
            {"id": "c2", "type": "function",
             "function": {"name": "read", "arguments": {"b": 1, "a": [2.5]}}},
            {"type": "function", "function": {"name": "read", "arguments": "{}"}}]})"));
    CHECK(messages[1] ==
          Json::parse(R"({"role": "tool", "content": "ok", "tool_call_id": "functions_read_0"})"));
    CHECK(parse_chat_request(R"({"messages": )" + conversation + "}", chat_limits()).n_past_calls ==
          3);
}

TEST_CASE("bad tool calls are refused by their place") {
    const auto with_call = [](const std::string& call) {
        return refused_messages(R"([{"role": "assistant", "tool_calls": [)" + call + "]}]").param;
    };
    const std::string place = "messages[0].tool_calls[0]";
    CHECK(with_call("1") == place);
    CHECK(with_call("{}") == place + ".function");
    CHECK(with_call(R"({"id": 1, "function": {"name": "f"}})") == place + ".id");
    CHECK(with_call(R"({"function": {}})") == place + ".function.name");
    CHECK(with_call(R"({"function": {"name": "f", "arguments": 3}})") ==
          place + ".function.arguments");
}

TEST_CASE("reasoning is kept for models that think and where there is any") {
    const std::string conversation =
        R"([{"role": "assistant", "content": "a", "reasoning_content": "r"},
            {"role": "assistant", "content": "b", "reasoning_content": ""}])";
    ApiLimits thinker = chat_limits();
    thinker.has_reasoning = true;
    CHECK(messages_of(conversation, thinker)[0].at("reasoning_content") == "r");
    CHECK(!messages_of(conversation, thinker)[1].contains("reasoning_content"));
    CHECK(!messages_of(conversation)[0].contains("reasoning_content"));
}

TEST_CASE("a partial last message is continued") {
    const auto parse = [](const std::string& messages) {
        return parse_chat_request(R"({"messages": )" + messages + "}", chat_limits());
    };
    const ApiRequest request =
        parse(R"([{"role": "assistant", "content": "Once", "partial": true}])");
    CHECK(request.continues_last);
    CHECK(!parse(R"([{"role": "assistant", "content": "Once"}])").continues_last);
    CHECK(!parse(R"([{"role": "assistant", "content": "x", "partial": true},
                     {"role": "user", "content": "y"}])")
               .continues_last);
    CHECK(refused_messages(R"([{"role": "assistant", "partial": true,
                               "tool_calls": [{"function": {"name": "f"}}]}])")
              .param == "messages[0].partial");
}

TEST_CASE("messages must be there") {
    CHECK(refused_messages("[]").param == "messages");
    CHECK(refused_messages("null").param == "messages");
    CHECK(refused_messages("{}").param == "messages");
    CHECK(refused_messages("[1]").param == "messages[0]");
}
