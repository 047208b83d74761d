#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <doctest/doctest.h>

#include "server/json_fields.h"

// The keys and types that OpenAI's specification requires of a reply, restated. Each check fails
// the test that runs it.
namespace baltoro::server::schema {

// Types of a key: s string, i integer, n number, o object, a array, 0 null.
inline bool has_type(const Json& value, std::string_view types) {
    for (const char type : types) {
        if (type == 's' && value.is_string()) return true;
        if (type == 'i' && value.is_number_integer()) return true;
        if (type == 'n' && value.is_number()) return true;
        if (type == 'o' && value.is_object()) return true;
        if (type == 'a' && value.is_array()) return true;
        if (type == '0' && value.is_null()) return true;
    }
    return false;
}

inline void check_key(const Json& object, const char* key, std::string_view types) {
    CAPTURE(key);
    CAPTURE(object.dump());
    REQUIRE(object.contains(key));
    CHECK(has_type(object.at(key), types));
}

inline void check_optional(const Json& object, const char* key, std::string_view types) {
    if (object.contains(key)) check_key(object, key, types);
}

inline void check_usage(const Json& usage) {
    for (const char* key : {"prompt_tokens", "completion_tokens", "total_tokens", "cached_tokens"})
        check_key(usage, key, "i");
    check_key(usage.at("prompt_tokens_details"), "cached_tokens", "i");
    check_key(usage.at("completion_tokens_details"), "reasoning_tokens", "i");
}

inline void check_finish_reason(const Json& choice) {
    check_key(choice, "finish_reason", "s0");
    const Json& reason = choice.at("finish_reason");
    CHECK((reason.is_null() || reason == "stop" || reason == "length" || reason == "tool_calls"));
}

inline void check_head(const Json& reply, const char* object) {
    check_key(reply, "id", "s");
    CHECK(reply.at("object") == object);
    check_key(reply, "created", "i");
    check_key(reply, "model", "s");
    check_key(reply, "choices", "a");
    check_optional(reply, "system_fingerprint", "s");
    if (reply.contains("usage")) check_usage(reply.at("usage"));
    if (!reply.contains("timings")) return;
    for (const char* key : {"cache_n", "prompt_n", "predicted_n"})
        check_key(reply.at("timings"), key, "i");
    for (const char* key :
         {"prompt_ms", "prompt_per_second", "predicted_ms", "predicted_per_second"})
        check_key(reply.at("timings"), key, "n");
}

inline void check_chat_logprobs(const Json& logprobs) {
    if (logprobs.is_null()) return;
    check_key(logprobs, "content", "a");
    check_key(logprobs, "refusal", "s0");
    for (const Json& token : logprobs.at("content")) {
        check_key(token, "token", "s");
        check_key(token, "logprob", "n");
        check_key(token, "bytes", "a0");
        check_key(token, "top_logprobs", "a");
        for (const Json& top : token.at("top_logprobs")) {
            check_key(top, "token", "s");
            check_key(top, "logprob", "n");
            check_key(top, "bytes", "a0");
        }
    }
}

inline void check_chat_reply(const Json& reply) {
    check_head(reply, "chat.completion");
    check_key(reply, "usage", "o");
    for (const Json& choice : reply.at("choices")) {
        check_key(choice, "index", "i");
        check_finish_reason(choice);
        check_key(choice, "finish_reason", "s");
        check_key(choice, "logprobs", "o0");
        check_chat_logprobs(choice.at("logprobs"));
        const Json& message = choice.at("message");
        CHECK(message.at("role") == "assistant");
        check_key(message, "content", "s0");
        check_key(message, "refusal", "s0");
        check_optional(message, "reasoning_content", "s");
        check_optional(message, "tool_calls", "a");
        if (!message.contains("tool_calls")) continue;
        for (const Json& call : message.at("tool_calls")) {
            check_key(call, "id", "s");
            CHECK(call.at("type") == "function");
            check_key(call.at("function"), "name", "s");
            check_key(call.at("function"), "arguments", "s");
        }
    }
}

inline void check_chat_chunk(const Json& chunk) {
    check_head(chunk, "chat.completion.chunk");
    for (const Json& choice : chunk.at("choices")) {
        check_key(choice, "index", "i");
        check_key(choice, "delta", "o");
        check_finish_reason(choice);
        if (choice.contains("logprobs")) check_chat_logprobs(choice.at("logprobs"));
        const Json& delta = choice.at("delta");
        check_optional(delta, "role", "s");
        check_optional(delta, "content", "s");
        check_optional(delta, "reasoning_content", "s");
        check_optional(delta, "tool_calls", "a");
        if (!delta.contains("tool_calls")) continue;
        for (const Json& call : delta.at("tool_calls")) {
            check_key(call, "index", "i");
            check_optional(call, "id", "s");
            CHECK(call.contains("id") == call.contains("type"));
            CHECK(call.contains("id") == call.at("function").contains("name"));
            check_key(call.at("function"), "arguments", "s");
        }
    }
}

// Replies and chunks alike.
inline void check_completion(const Json& reply) {
    check_head(reply, "text_completion");
    for (const Json& choice : reply.at("choices")) {
        check_key(choice, "index", "i");
        check_key(choice, "text", "s");
        check_key(choice, "logprobs", "o0");
        check_finish_reason(choice);
        const Json& logprobs = choice.at("logprobs");
        if (logprobs.is_null()) continue;
        for (const char* key : {"text_offset", "token_logprobs", "tokens", "top_logprobs"})
            check_key(logprobs, key, "a");
    }
}

// The events of a stream: JSON, "[DONE]" as a string, comments as {"comment": TEXT}.
inline std::vector<Json> events_of(std::string_view stream) {
    std::vector<Json> events;
    while (!stream.empty()) {
        const std::size_t end = stream.find("\n\n");
        REQUIRE(end != stream.npos);
        const std::string_view event = stream.substr(0, end);
        stream.remove_prefix(end + 2);
        CHECK(event.find('\n') == event.npos);
        if (event.substr(0, 2) == ": ") {
            events.push_back({{"comment", std::string(event.substr(2))}});
            continue;
        }
        REQUIRE(event.substr(0, 6) == "data: ");
        const std::string_view data = event.substr(6);
        events.push_back(data == "[DONE]" ? Json("[DONE]") : Json::parse(data));
    }
    return events;
}

}  // namespace baltoro::server::schema
