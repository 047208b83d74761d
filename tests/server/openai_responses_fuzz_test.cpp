#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "server/openai_responses.h"
#include "tests/server/body_mutation.h"
#include "tests/server/chat_fixture.h"

using namespace baltoro;
using namespace baltoro::server;
using namespace baltoro::testing;

namespace {

const std::vector<std::string> kWords = {"type",
                                         "message",
                                         "role",
                                         "user",
                                         "assistant",
                                         "developer",
                                         "system",
                                         "content",
                                         "input_text",
                                         "output_text",
                                         "input_image",
                                         "input_file",
                                         "refusal",
                                         "reasoning",
                                         "reasoning_text",
                                         "summary",
                                         "summary_text",
                                         "encrypted_content",
                                         "baltoro:thought",
                                         "function_call",
                                         "function_call_output",
                                         "call_id",
                                         "name",
                                         "arguments",
                                         "output",
                                         "shell",
                                         "function",
                                         "allowed_tools",
                                         "mode",
                                         "tools",
                                         "auto",
                                         "required",
                                         "none",
                                         "json_schema",
                                         "json_object",
                                         "text",
                                         "schema",
                                         "web_search"};

// An agent's turn with every kind of item, tool and option.
const char* const kAgentTurn = R"({
    "model": "kimi-k2", "stream": true, "store": false, "instructions": "Be brief.",
    "max_output_tokens": 262144, "temperature": 0.5, "top_p": 0.9, "parallel_tool_calls": false,
    "include": ["reasoning.encrypted_content"], "reasoning": {"effort": "high", "summary": "auto"},
    "text": {"format": {"type": "json_schema", "name": "r", "schema": {"type": "object"}}},
    "tools": [{"type": "function", "name": "shell", "parameters": {"type": "object"}, "strict": false},
              {"type": "web_search"}, {"type": "namespace", "name": "n", "tools": []}],
    "tool_choice": {"type": "allowed_tools", "mode": "auto",
                    "tools": [{"type": "function", "name": "shell"}]},
    "input": [
        {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "rules"}]},
        {"role": "user", "content": "go"},
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "s"}],
         "content": [{"type": "reasoning_text", "text": "c"}], "encrypted_content": "baltoro:e"},
        {"type": "message", "role": "assistant", "id": "msg_1",
         "content": [{"type": "output_text", "text": "Looking."}, {"type": "refusal", "refusal": "no"}]},
        {"type": "function_call", "call_id": "call_1", "name": "shell", "arguments": "{\"c\":1}"},
        {"type": "function_call_output", "call_id": "call_1", "output": [
            {"type": "input_text", "text": "one"}, {"type": "input_image", "image_url": "data:,"}]},
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "s"}]},
        {"type": "function_call", "call_id": "call_2", "name": "shell", "arguments": "{"},
        {"type": "function_call_output", "call_id": "call_2", "output": "two"},
        {"type": "web_search_call", "id": "ws"}]})";

}  // namespace

TEST_CASE("every mutation of a response request is parsed or refused by name") {
    const Json body = Json::parse(kAgentTurn);
    ApiLimits limits = chat_limits();
    for (std::uint64_t seed = 0; seed < 8000; seed++) {
        CAPTURE(seed);
        limits.has_reasoning = seed % 2 == 0;
        const std::string text = BodyMutation(seed, kWords).changed(body);
        CAPTURE(text.substr(0, 4000));
        check_parses_and_renders(
            text, [&](const std::string& t) { return parse_responses_request(t, limits); });
    }
}

TEST_CASE("every field of a response request survives every hostile value") {
    const std::string at = "@";
    for (const std::string frame :
         {R"("input": @)",
          R"("input": [@])",
          R"("input": [{"role": @, "content": "x"}])",
          R"("input": [{"role": "user", "content": @}])",
          R"("input": [{"role": "user", "content": [{"type": @, "text": "x"}]}])",
          R"("input": [{"type": @, "role": "user", "content": "x"}])",
          R"("input": [{"type": "function_call", "call_id": @, "name": "f"}])",
          R"("input": [{"type": "function_call", "call_id": "a", "name": "f", "arguments": @}])",
          R"("input": [{"type": "function_call_output", "call_id": "a", "output": @}])",
          R"("input": [{"type": "function_call_output", "call_id": "a", "output": [{"type": @}]}])",
          R"("input": [{"type": "reasoning", "content": @}, {"role": "user", "content": "x"}])",
          R"("input": [{"type": "reasoning", "summary": [@]}, {"role": "user", "content": "x"}])",
          R"("input": [{"type": "reasoning", "encrypted_content": @}])",
          R"("input": "x", "instructions": @)",
          R"("input": "x", "tools": [@])",
          R"("input": "x", "tools": [{"type": "function", "name": @}])",
          R"("input": "x", "tools": [{"type": "function", "name": "f", "parameters": @}])",
          R"("input": "x", "tools": [{"type": "function", "name": "f"}], "tool_choice": @)",
          R"("input": "x", "tools": [{"type": "function", "name": "f"}],
              "tool_choice": {"type": "allowed_tools", "mode": @, "tools": []}})",
          R"("input": "x", "tools": [{"type": "function", "name": "f"}],
              "tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": @}})",
          R"("input": "x", "text": @)",
          R"("input": "x", "text": {"format": @})",
          R"("input": "x", "reasoning": {"effort": @})",
          R"("input": "x", "max_output_tokens": @)",
          R"("input": "x", "previous_response_id": @)"}) {
        for (const std::string& value : hostile_values()) {
            CAPTURE(frame);
            CAPTURE(value.substr(0, 60));
            std::string body = frame;
            body.replace(body.find(at), 1, value);
            check_parses_or_refuses("{" + body + "}", [](const std::string& text) {
                return parse_responses_request(text, chat_limits());
            });
        }
    }
}
