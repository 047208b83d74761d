#include "server/openai_chat_writer.h"

#include <cmath>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "base/random.h"
#include "tests/server/openai_schema.h"
#include "tests/text/tokenizer_fixture.h"

using namespace baltoro;
using namespace baltoro::server;
using Kind = AnswerPart::Kind;

namespace {

const Tokenizer& bytes_tokenizer() {
    static const Tokenizer tokenizer = Tokenizer::from_ranks(byte_ranks(), {}, "byte ranks");
    return tokenizer;
}

ApiRequest chat_request(bool stream) {
    ApiRequest request;
    request.model = "kimi-k2";
    request.stream = stream;
    request.request.prompt.assign(10, 1);
    return request;
}

ChatWriter writer_of(const ApiRequest& request) {
    return {request, "chatcmpl-1", 1700000000, bytes_tokenizer()};
}

AnswerEvents events_of_parts(std::vector<AnswerPart> parts) {
    AnswerEvents events;
    events.parts = std::move(parts);
    return events;
}

AnswerEvents finished(FinishReason reason = FinishReason::stop) {
    AnswerEvents events;
    events.is_finished = true;
    events.reason = reason;
    events.usage.prompt_tokens = 10;
    events.usage.cached_tokens = 4;
    events.usage.completion_tokens = 6;
    events.usage.reasoning_tokens = 2;
    events.usage.prefill_s = 2.0;
    events.usage.decode_s = 0.5;
    return events;
}

AnswerPart content(std::string text) {
    return {.kind = Kind::content, .text = std::move(text)};
}

std::vector<AnswerPart> call(int idx, std::string id, const std::string& arguments) {
    return {{.kind = Kind::call_begin, .text = std::move(id), .name = "read", .call_idx = idx},
            {.kind = Kind::call_arguments, .text = arguments, .call_idx = idx},
            {.kind = Kind::call_end, .call_idx = idx}};
}

// The chunks of a stream, each checked against the specification.
std::vector<Json> chunks_of(const std::string& stream) {
    std::vector<Json> events = schema::events_of(stream);
    for (const Json& event : events) {
        if (event.is_object() && event.contains("object")) schema::check_chat_chunk(event);
    }
    return events;
}

Json reply_of(ChatWriter& writer) {
    Json reply = Json::parse(writer.body());
    schema::check_chat_reply(reply);
    return reply;
}

const Json& delta_of(const Json& chunk) {
    return chunk.at("choices").at(0).at("delta");
}

}  // namespace

TEST_CASE("a stream is role, content, finish, usage and DONE") {
    ApiRequest request = chat_request(true);
    request.include_usage = true;
    request.system_fingerprint = "fp_1";
    ChatWriter writer = writer_of(request);
    std::string stream = writer.open();
    stream += writer.add(0, events_of_parts({content("Hello")}));
    stream += writer.add(0, finished());
    stream += writer.close();
    const std::vector<Json> chunks = chunks_of(stream);
    REQUIRE(chunks.size() == 5);
    CHECK(delta_of(chunks[0]) == Json::parse(R"({"role": "assistant", "content": ""})"));
    CHECK(chunks[0].at("choices")[0].at("finish_reason").is_null());
    CHECK(delta_of(chunks[1]) == Json::parse(R"({"content": "Hello"})"));
    CHECK(delta_of(chunks[2]) == Json::object());
    CHECK(chunks[2].at("choices")[0].at("finish_reason") == "stop");
    CHECK(chunks[3].at("choices") == Json::array());
    CHECK(chunks[3].at("usage").at("total_tokens") == 16);
    CHECK(chunks[3].at("usage").at("cached_tokens") == 4);
    CHECK(chunks[3].at("usage").at("prompt_tokens_details").at("cached_tokens") == 4);
    CHECK(chunks[3].at("usage").at("completion_tokens_details").at("reasoning_tokens") == 2);
    CHECK(chunks[4] == "[DONE]");
    for (int i = 0; i < 4; i++) {
        CAPTURE(i);
        const Json& chunk = chunks[static_cast<std::size_t>(i)];
        CHECK(chunk.at("id") == "chatcmpl-1");
        CHECK(chunk.at("created") == 1700000000);
        CHECK(chunk.at("system_fingerprint") == "fp_1");
        CHECK(chunk.contains("usage") == (i == 3));
    }
}

TEST_CASE("timings have llama.cpp's names and count prefilled tokens only") {
    ChatWriter writer = writer_of(chat_request(true));
    const Json timings = chunks_of(writer.add(0, finished())).at(0).at("timings");
    CHECK(timings.at("cache_n") == 4);
    CHECK(timings.at("prompt_n") == 6);
    CHECK(timings.at("prompt_ms") == 2000.0);
    CHECK(timings.at("prompt_per_second") == 3.0);
    CHECK(timings.at("predicted_per_second") == 12.0);
}

TEST_CASE("a call's first chunk names it and the others bring arguments only") {
    ChatWriter writer = writer_of(chat_request(true));
    std::string stream = writer.add(0, events_of_parts({content("Let me look.")}));
    stream += writer.add(0, events_of_parts(call(0, "functions.read:0", R"({"a": 1})")));
    stream += writer.add(0, events_of_parts(call(1, "functions.read:1", "{}")));
    stream += writer.add(0, finished());
    const std::vector<Json> chunks = chunks_of(stream);
    REQUIRE(chunks.size() == 6);
    CHECK(delta_of(chunks[1]) == Json::parse(R"({"tool_calls": [{"index": 0,
        "id": "functions.read:0", "type": "function",
        "function": {"name": "read", "arguments": ""}}]})"));
    CHECK(delta_of(chunks[2]) == Json::parse(R"({"tool_calls": [{"index": 0,
        "function": {"arguments": "{\"a\": 1}"}}]})"));
    CHECK(delta_of(chunks[3]).at("tool_calls")[0].at("index") == 1);
    CHECK(chunks[5].at("choices")[0].at("finish_reason") == "tool_calls");
}

TEST_CASE("a reply with calls only has null content") {
    ChatWriter writer = writer_of(chat_request(false));
    CHECK(writer.add(0, events_of_parts(call(0, "functions.read:0", "{}"))).empty());
    CHECK(writer.add(0, finished()).empty());
    const Json choice = reply_of(writer).at("choices")[0];
    CHECK(choice.at("message").at("content").is_null());
    CHECK(choice.at("message").at("tool_calls")[0].at("id") == "functions.read:0");
    CHECK(choice.at("finish_reason") == "tool_calls");
}

TEST_CASE("a reply without anything has empty content") {
    ChatWriter writer = writer_of(chat_request(false));
    (void)writer.add(0, finished());
    const Json message = reply_of(writer).at("choices")[0].at("message");
    CHECK(message.at("content") == "");
    CHECK(!message.contains("tool_calls"));
    CHECK(!message.contains("reasoning_content"));
}

TEST_CASE("content after a call is left out of stream and reply") {
    ApiRequest request = chat_request(true);
    ChatWriter writer = writer_of(request);
    (void)writer.add(0, events_of_parts({content("before")}));
    (void)writer.add(0, events_of_parts(call(0, "functions.read:0", "{}")));
    CHECK(writer.add(0, events_of_parts({content("after")})).empty());
    (void)writer.add(0, finished());
    CHECK(reply_of(writer).at("choices")[0].at("message").at("content") == "before");
}

TEST_CASE("ids that are not the model's own are made up and go on counting") {
    ApiRequest request = chat_request(false);
    request.n_past_calls = 3;
    ChatWriter writer = writer_of(request);
    (void)writer.add(0, events_of_parts(call(0, "call_abc", "{}")));
    (void)writer.add(0, events_of_parts(call(1, "functions.read:4", "{}")));
    (void)writer.add(0, events_of_parts(call(2, "functions.read:4", "{}")));
    (void)writer.add(0, events_of_parts(call(3, "functions.write:9", "{}")));
    (void)writer.add(0, events_of_parts(call(4, "functions.read:x", "{}")));
    (void)writer.add(0, finished());
    const Json calls = reply_of(writer).at("choices")[0].at("message").at("tool_calls");
    REQUIRE(calls.size() == 5);
    CHECK(calls[0].at("id") == "functions.read:3");
    CHECK(calls[1].at("id") == "functions.read:4");
    CHECK(calls[2].at("id") == "functions.read:5");  // the model's own is taken
    CHECK(calls[3].at("id") == "functions.read:6");  // of another function
    CHECK(calls[4].at("id") == "functions.read:7");
}

TEST_CASE("a call without arguments gets an empty object") {
    ChatWriter writer = writer_of(chat_request(false));
    (void)writer.add(0, events_of_parts(call(0, "functions.read:0", "")));
    (void)writer.add(0, finished());
    CHECK(reply_of(writer)
              .at("choices")[0]
              .at("message")
              .at("tool_calls")[0]
              .at("function")
              .at("arguments") == "{}");
}

TEST_CASE("an answer that was cut off ends with length, whatever it called") {
    ChatWriter writer = writer_of(chat_request(false));
    std::vector<AnswerPart> parts = call(0, "functions.read:0", R"({"a)");
    parts.back().is_complete = false;
    (void)writer.add(0, events_of_parts(parts));
    SUBCASE("by max_tokens") {
        (void)writer.add(0, finished(FinishReason::length));
    }
    SUBCASE("by the context") {
        (void)writer.add(0, finished(FinishReason::context_full));
    }
    const Json choice = reply_of(writer).at("choices")[0];
    CHECK(choice.at("finish_reason") == "length");
    CHECK(choice.at("message").at("tool_calls")[0].at("function").at("arguments") == R"({"a)");
}

TEST_CASE("an incomplete call alone does not end an answer with tool_calls") {
    ChatWriter writer = writer_of(chat_request(false));
    std::vector<AnswerPart> parts = call(0, "functions.read:0", "{");
    parts.back().is_complete = false;
    (void)writer.add(0, events_of_parts(parts));
    (void)writer.add(0, finished());
    CHECK(reply_of(writer).at("choices")[0].at("finish_reason") == "stop");
}

TEST_CASE("a complete call cut by max_tokens afterwards ends with length") {
    ChatWriter writer = writer_of(chat_request(false));
    (void)writer.add(0, events_of_parts(call(0, "functions.read:0", "{}")));
    (void)writer.add(0, finished(FinishReason::length));
    CHECK(reply_of(writer).at("choices")[0].at("finish_reason") == "length");
}

TEST_CASE("reasoning goes out in a field of its own") {
    ChatWriter writer = writer_of(chat_request(true));
    const std::vector<Json> chunks = chunks_of(
        writer.add(0, events_of_parts({{.kind = Kind::reasoning, .text = "hm"}, content("yes")})));
    REQUIRE(chunks.size() == 2);
    CHECK(delta_of(chunks[0]) == Json::parse(R"({"reasoning_content": "hm"})"));
    (void)writer.add(0, finished());
    CHECK(reply_of(writer).at("choices")[0].at("message").at("reasoning_content") == "hm");
}

TEST_CASE("a failure is an error event and the end") {
    ApiRequest request = chat_request(true);
    request.include_usage = true;
    ChatWriter writer = writer_of(request);
    AnswerEvents failure;
    failure.error = "out of memory";
    const std::vector<Json> events = schema::events_of(writer.add(0, std::move(failure)));
    REQUIRE(events.size() == 1);
    CHECK(events[0] == Json::parse(R"({"error": {"message": "out of memory",
        "type": "server_error", "param": null, "code": null}})"));
    CHECK(writer.add(0, finished()).empty());
    CHECK(writer.close().empty());
}

TEST_CASE("heartbeats are comments that show the prefill") {
    ChatWriter writer = writer_of(chat_request(true));
    CHECK(writer.heartbeat(5) == ": prefill 0/10\n\n");
    AnswerEvents progress;
    progress.prefilled_tokens = 7;
    CHECK(writer.add(0, std::move(progress)).empty());
    CHECK(writer.heartbeat(10) == ": prefill 7/10\n\n");
    (void)writer.add(0, events_of_parts({content("a")}));
    CHECK(writer.heartbeat(5) == ": waiting\n\n");
}

TEST_CASE("choices are told apart by index and the prompt counts once") {
    ApiRequest request = chat_request(true);
    request.n = 2;
    request.include_usage = true;
    ChatWriter writer = writer_of(request);
    CHECK(chunks_of(writer.open()).size() == 2);
    const Json chunk = chunks_of(writer.add(1, events_of_parts({content("b")}))).at(0);
    CHECK(chunk.at("choices")[0].at("index") == 1);
    (void)writer.add(1, finished());
    (void)writer.add(0, finished());
    const Json usage = chunks_of(writer.close()).at(0).at("usage");
    CHECK(usage.at("prompt_tokens") == 10);
    CHECK(usage.at("completion_tokens") == 12);
    const Json reply = reply_of(writer);
    CHECK(reply.at("choices")[0].at("message").at("content") == "");
    CHECK(reply.at("choices")[1].at("message").at("content") == "b");
}

TEST_CASE("logprobs show tokens with their bytes and never infinity") {
    ApiRequest request = chat_request(true);
    request.request.n_top_logprobs = 2;
    ChatWriter writer = writer_of(request);
    const float infinity = std::numeric_limits<float>::infinity();
    AnswerEvents events = events_of_parts({content("a")});
    events.logprobs = {{.id = 'a', .logprob = -0.5f, .top = {{'a', -0.5f}, {0xc3, -infinity}}},
                       {.id = 100'000, .logprob = std::nanf(""), .top = {}}};
    const Json chunk = chunks_of(writer.add(0, std::move(events))).at(0);
    const Json tokens = chunk.at("choices")[0].at("logprobs").at("content");
    REQUIRE(tokens.size() == 2);
    CHECK(tokens[0].at("token") == "a");
    CHECK(tokens[0].at("logprob") == -0.5);
    CHECK(tokens[0].at("bytes") == Json::parse("[97]"));
    CHECK(tokens[0].at("top_logprobs")[1].at("token") == "\xef\xbf\xbd");
    CHECK(tokens[0].at("top_logprobs")[1].at("bytes") == Json::parse("[195]"));
    CHECK(tokens[0].at("top_logprobs")[1].at("logprob") == -9999.0);
    CHECK(tokens[1].at("token") == "");
    CHECK(tokens[1].at("logprob") == -9999.0);
}

TEST_CASE("logprobs of text that is held back come with the next chunk") {
    ApiRequest request = chat_request(true);
    request.request.n_top_logprobs = 0;
    ChatWriter writer = writer_of(request);
    AnswerEvents held_back;
    held_back.logprobs = {{.id = 'a', .logprob = -1.0f, .top = {}}};
    CHECK(writer.add(0, std::move(held_back)).empty());
    const Json chunk = chunks_of(writer.add(0, finished())).at(0);
    CHECK(chunk.at("choices")[0].at("logprobs").at("content").size() == 1);
}

TEST_CASE("a whole reply has all logprobs") {
    ApiRequest request = chat_request(false);
    request.request.n_top_logprobs = 0;
    ChatWriter writer = writer_of(request);
    for (int i = 0; i < 3; i++) {
        AnswerEvents events = events_of_parts({content("a")});
        events.logprobs = {{.id = 'a', .logprob = -1.0f, .top = {}}};
        (void)writer.add(0, std::move(events));
    }
    (void)writer.add(0, finished());
    CHECK(reply_of(writer).at("choices")[0].at("logprobs").at("content").size() == 3);
}

TEST_CASE("bytes that are no UTF-8 never reach the client") {
    ChatWriter writer = writer_of(chat_request(true));
    const std::string stream = writer.add(0, events_of_parts({content("\xff\xc0\xaf")}));
    CHECK(delta_of(chunks_of(stream).at(0)).at("content") ==
          "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");
}

TEST_CASE("a stream put together says what the whole reply says") {
    for (std::uint64_t seed = 0; seed < 50; seed++) {
        CAPTURE(seed);
        Random random(seed);
        ChatWriter streaming = writer_of(chat_request(true));
        ChatWriter whole = writer_of(chat_request(false));
        std::string stream = streaming.open();
        int n_calls = 0;
        for (int step = 0; step < 12; step++) {
            std::vector<AnswerPart> parts;
            while (random.below(3) != 0) {
                if (random.below(4) == 0) {
                    for (AnswerPart& part : call(n_calls++, "x", "{\"k\":1}"))
                        parts.push_back(std::move(part));
                } else {
                    const Kind kind = random.below(2) == 0 ? Kind::content : Kind::reasoning;
                    parts.push_back({.kind = kind, .text = std::string(random.below(3), 't')});
                }
            }
            stream += streaming.add(0, events_of_parts(parts));
            (void)whole.add(0, events_of_parts(parts));
        }
        stream += streaming.add(0, finished());
        (void)whole.add(0, finished());
        std::string text;
        std::string reasoning;
        std::vector<std::string> arguments;
        for (const Json& chunk : chunks_of(stream)) {
            const Json& delta = delta_of(chunk);
            text += delta.value("content", "");
            reasoning += delta.value("reasoning_content", "");
            if (!delta.contains("tool_calls")) continue;
            const Json& piece = delta.at("tool_calls")[0];
            arguments.resize(piece.at("index").get<std::size_t>() + 1);
            arguments.back() += piece.at("function").at("arguments").get<std::string>();
        }
        const Json message = reply_of(whole).at("choices")[0].at("message");
        CHECK(text == (message.at("content").is_null() ? "" : message.at("content")));
        CHECK(reasoning == message.value("reasoning_content", ""));
        REQUIRE(arguments.size() == static_cast<std::size_t>(n_calls));
        for (std::size_t i = 0; i < arguments.size(); i++)
            CHECK(message.at("tool_calls")[i].at("function").at("arguments") == arguments[i]);
    }
}
