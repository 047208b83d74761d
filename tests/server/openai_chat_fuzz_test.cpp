#include "server/openai_chat.h"

#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "tests/server/chat_fixture.h"
#include "tests/server/refusal.h"

using namespace baltoro;
using namespace baltoro::server;
using namespace baltoro::testing;

TEST_CASE("every chat field survives every hostile value") {
    for (const char* field : {"model",
                              "messages",
                              "tools",
                              "tool_choice",
                              "parallel_tool_calls",
                              "stream",
                              "stream_options",
                              "max_completion_tokens",
                              "max_tokens",
                              "temperature",
                              "top_p",
                              "stop",
                              "response_format",
                              "seed",
                              "presence_penalty",
                              "frequency_penalty",
                              "logprobs",
                              "top_logprobs",
                              "logit_bias",
                              "n",
                              "reasoning_effort",
                              "thinking",
                              "modalities",
                              "top_k",
                              "min_p",
                              "repetition_penalty",
                              "ignore_eos",
                              "min_tokens",
                              "chat_template_kwargs",
                              "chat_template",
                              "unknown"}) {
        for (const std::string& value : hostile_values()) {
            CAPTURE(field);
            CAPTURE(value.substr(0, 60));
            const std::string rest = std::string_view(field) == "messages" ? "" : kHello + ",";
            check_parses_or_refuses(
                "{" + rest + kTools + ", \"" + field + "\": " + value + "}",
                [](const std::string& body) { return parse_chat_request(body, chat_limits()); });
        }
    }
}

TEST_CASE("every field inside a chat message, tool and choice survives every hostile value") {
    const std::string at = "@";
    for (const std::string frame :
         {R"({"messages": [@]})",
          R"({"messages": [{"role": @}]})",
          R"({"messages": [{"role": "user", "name": @}]})",
          R"({"messages": [{"role": "user", "content": @}]})",
          R"({"messages": [{"role": "user", "content": [@]}]})",
          R"({"messages": [{"role": "user", "content": [{"type": @}]}]})",
          R"({"messages": [{"role": "user", "content": [{"type": "text", "text": @}]}]})",
          R"({"messages": [{"role": "tool", "tool_call_id": @}]})",
          R"({"messages": [{"role": "assistant", "partial": @}]})",
          R"({"messages": [{"role": "assistant", "reasoning_content": @}]})",
          R"({"messages": [{"role": "assistant", "function_call": @}]})",
          R"({"messages": [{"role": "assistant", "tool_calls": @}]})",
          R"({"messages": [{"role": "assistant", "tool_calls": [@]}]})",
          R"({"messages": [{"role": "assistant", "tool_calls": [{"id": @}]}]})",
          R"({"messages": [{"role": "assistant", "tool_calls": [{"function": @}]}]})",
          R"({"messages": [{"role": "assistant",
               "tool_calls": [{"function": {"name": "f", "arguments": @}}]}]})",
          R"({"messages": [{"role": "user"}], "tools": [@]})",
          R"({"messages": [{"role": "user"}], "tools": [{"type": @}]})",
          R"({"messages": [{"role": "user"}], "tools": [{"type": "function", "function": @}]})",
          R"({"messages": [{"role": "user"}],
              "tools": [{"function": {"name": "f", "parameters": @}}]})",
          R"({"messages": [{"role": "user"}], "tools": [{"function": {"name": "f"}}],
              "tool_choice": {"type": "allowed_tools", "allowed_tools": @}})",
          R"({"messages": [{"role": "user"}], "tools": [{"function": {"name": "f"}}],
              "tool_choice": {"type": "function", "function": {"name": @}}})",
          R"({"messages": [{"role": "user"}],
              "response_format": {"type": "json_schema", "json_schema": @}})",
          R"({"messages": [{"role": "user"}],
              "response_format": {"type": "json_schema", "json_schema": {"schema": @}}})",
          R"({"messages": [{"role": "user"}], "stream_options": {"include_usage": @}})",
          R"({"messages": [{"role": "user"}], "logit_bias": {"1": @}})"}) {
        for (const std::string& value : hostile_values()) {
            CAPTURE(frame);
            CAPTURE(value.substr(0, 60));
            std::string body = frame;
            body.replace(body.find(at), 1, value);
            check_parses_or_refuses(body, [](const std::string& text) {
                return parse_chat_request(text, chat_limits());
            });
        }
    }
}
