#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "server/anthropic_messages.h"
#include "tests/server/body_mutation.h"
#include "tests/server/chat_fixture.h"

using namespace baltoro;
using namespace baltoro::server;
using namespace baltoro::testing;

namespace {

const std::vector<std::string> kWords = {"type",
                                         "text",
                                         "image",
                                         "document",
                                         "thinking",
                                         "redacted_thinking",
                                         "tool_use",
                                         "tool_result",
                                         "tool_reference",
                                         "server_tool_use",
                                         "search_result",
                                         "content",
                                         "input",
                                         "id",
                                         "name",
                                         "user",
                                         "assistant",
                                         "system",
                                         "ctx",
                                         "role",
                                         "is_error",
                                         "any",
                                         "auto",
                                         "none",
                                         "tool",
                                         "enabled",
                                         "adaptive",
                                         "disabled",
                                         "json_schema",
                                         "Bash",
                                         "x-anthropic-billing-header: a",
                                         "temperature"};

// An agent's turn with every kind of block, tool and option.
const char* const kAgentTurn = R"({
    "model": "kimi-k2", "max_tokens": 32000, "temperature": 0.5, "top_p": 0.9, "top_k": 40,
    "stream": true, "stop_sequences": ["END"], "metadata": {"user_id": "u"},
    "thinking": {"type": "enabled", "budget_tokens": 1024},
    "tool_choice": {"type": "auto", "disable_parallel_tool_use": true},
    "output_config": {"effort": "high", "format": {"type": "json_schema", "schema": {}}},
    "system": [{"type": "text", "text": "x-anthropic-billing-header: cch=1"},
               {"type": "text", "text": "You are Kimi.", "cache_control": {"type": "ephemeral"}}],
    "tools": [{"name": "Bash", "description": "runs", "input_schema": {"type": "object"}},
              {"type": "web_search_20250305", "name": "web_search"}],
    "messages": [
        {"role": "user", "content": [{"type": "text", "text": "list"}, {"type": "text", "text": "it"}]},
        {"role": "system", "content": "Agents: none."},
        {"role": "assistant", "content": [
            {"type": "thinking", "thinking": "hm", "signature": "x"},
            {"type": "redacted_thinking", "data": "x"},
            {"type": "text", "text": "I will."},
            {"type": "tool_use", "id": "toolu_1", "name": "Bash", "input": {"command": "ls"}},
            {"type": "tool_use", "id": "toolu_2", "name": "Bash", "input": {}}]},
        {"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": "toolu_1", "content": [
                {"type": "text", "text": "a b"}, {"type": "image", "source": {}},
                {"type": "search_result", "source": "s", "title": "t",
                 "content": [{"type": "text", "text": "found"}]}]},
            {"type": "tool_result", "tool_use_id": "toolu_2", "is_error": true, "content": ""},
            {"type": "search_result", "source": "s", "title": "t",
             "content": [{"type": "text", "text": "found"}]},
            {"type": "text", "text": "and now?"}]},
        {"role": "assistant", "content": "Now"}]})";

}  // namespace

TEST_CASE("every mutation of a message request is parsed or refused by name") {
    const Json body = Json::parse(kAgentTurn);
    ApiLimits limits = chat_limits();
    for (std::uint64_t seed = 0; seed < 4000; seed++) {
        CAPTURE(seed);
        limits.has_reasoning = seed % 2 == 0;
        const std::string text = BodyMutation(seed, kWords).changed(body);
        CAPTURE(text.substr(0, 4000));
        check_parses_and_renders(
            text, [&](const std::string& t) { return parse_messages_request(t, limits); });
        check_parses_and_renders(
            text, [&](const std::string& t) { return parse_count_tokens_request(t, limits); });
    }
}

TEST_CASE("every field of a message request survives every hostile value") {
    const std::string at = "@";
    for (
        const std::string frame :
        {R"("system": @)",
         R"("system": [@])",
         R"("system": [{"type": "text", "text": @}])",
         R"("messages": [@])",
         R"("messages": [{"role": @, "content": "x"}])",
         R"("messages": [{"role": "user", "content": @}])",
         R"("messages": [{"role": "system", "content": [@]}])",
         R"("messages": [{"role": "user", "content": [{"type": @, "text": "x"}]}])",
         R"("messages": [{"role": "user", "content": [{"type": "text", "text": @}]}])",
         R"("messages": [{"role": "user", "content": [{"type": "search_result", "content": @}]}])",
         R"("messages": [{"role": "user", "content": [
              {"type": "tool_result", "tool_use_id": "a", "content": @}]}])",
         R"("messages": [{"role": "user", "content": [
              {"type": "tool_result", "tool_use_id": @, "content": "x"}]}])",
         R"("messages": [{"role": "assistant", "content": [
              {"type": "tool_use", "id": "a", "name": "f", "input": @}]}])",
         R"("messages": [{"role": "assistant", "content": [{"type": "thinking", "thinking": @}]}])",
         R"("tools": [@])",
         R"("tools": [{"name": @, "input_schema": {}}])",
         R"("tools": [{"name": "f", "input_schema": @}])",
         R"("tool_choice": {"type": @})",
         R"("thinking": {"type": @})",
         R"("max_tokens": @)",
         R"("temperature": @)",
         R"("top_k": @)",
         R"("stop_sequences": [@])",
         R"("output_config": {"format": @})"}) {
        for (const std::string& value : hostile_values()) {
            CAPTURE(frame);
            CAPTURE(value.substr(0, 60));
            std::string body = frame;
            body.replace(body.find(at), 1, value);
            const bool has_messages = body.starts_with("\"messages\"");
            check_parses_or_refuses("{" + (has_messages ? "" : kHello + ", ") + body + "}",
                                    [](const std::string& text) {
                                        return parse_messages_request(text, chat_limits());
                                    });
        }
    }
}
