#include "server/anthropic_writer.h"

#include <set>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "tests/server/event_text.h"

using namespace baltoro;
using namespace baltoro::server;
using Types = std::vector<std::string>;

namespace {

MessagesWriter writer() {
    ApiRequest request;
    request.model = "kimi-k2";
    return MessagesWriter(request, "msg_abc1", 100);
}

// What a client holds after a stream, put together as the SDKs do. Arguments that are no object are
// an empty one to it, as to agents that read them at their end.
Json replay(const std::string& sse) {
    Json message;
    std::vector<std::string> inputs;
    for (const Json& event : events_of(sse)) {
        const std::string type = event.at("type");
        if (type == "message_start") message = event.at("message");
        if (type == "content_block_start") {
            CHECK(event.at("index") == message["content"].size());
            message["content"].push_back(event.at("content_block"));
            inputs.emplace_back();
        }
        if (type == "content_block_delta") {
            CHECK(event.at("index") == message["content"].size() - 1);
            Json& block = message["content"].back();
            const Json& delta = event.at("delta");
            if (delta.at("type") == "input_json_delta") inputs.back() += delta.at("partial_json");
            for (const char* field : {"text", "thinking", "signature"}) {
                if (!delta.contains(field)) continue;
                block[field] = block[field].get<std::string>() + delta[field].get<std::string>();
            }
        }
        if (type == "content_block_stop" && !inputs.back().empty()) {
            const Json input = Json::parse(inputs.back(), nullptr, false);
            message["content"].back()["input"] = input.is_discarded() ? Json::object() : input;
        }
        if (type == "message_delta") {
            message.update(event.at("delta"));
            message["usage"].update(event.at("usage"));
        }
    }
    return message;
}

}  // namespace

TEST_CASE("a text answer has the documented events in order") {
    MessagesWriter messages = writer();
    std::string sse = messages.open();
    sse += messages.add(0, events_with({content_part("Hel"), content_part("lo")}));
    sse += messages.add(0, finished(FinishReason::stop));
    sse += messages.close();
    CHECK(types_of(sse) == Types{"message_start", "ping", "content_block_start",
                                 "content_block_delta", "content_block_delta", "content_block_stop",
                                 "message_delta", "message_stop"});
    const std::vector<Json> events = events_of(sse);
    const Json& start = events[0].at("message");
    CHECK(start.at("id") == "msg_abc1");
    CHECK(start.at("role") == "assistant");
    CHECK(start.at("model") == "kimi-k2");
    CHECK(start.at("content") == Json::array());
    CHECK(start.at("stop_reason").is_null());
    CHECK(start.at("usage").at("input_tokens") == 100);
    CHECK(events[2].at("content_block") == Json({{"type", "text"}, {"text", ""}}));
    CHECK(events[3].at("delta") == Json({{"type", "text_delta"}, {"text", "Hel"}}));
    CHECK(events[6].at("delta").at("stop_reason") == "end_turn");
    CHECK(events[6].at("usage").at("input_tokens") == 40);
    CHECK(events[6].at("usage").at("cache_read_input_tokens") == 60);
    CHECK(events[6].at("usage").at("cache_creation_input_tokens") == 0);
    CHECK(events[6].at("usage").at("output_tokens") == 7);
}

TEST_CASE("thinking ends with a signature and calls start with an empty input") {
    MessagesWriter messages = writer();
    std::vector<AnswerPart> parts = {reasoning_part("Hm")};
    for (const AnswerPart& part : call_parts(0, "pwd", " "))
        parts.push_back(part);
    std::string sse = messages.open() + messages.add(0, finished(FinishReason::stop, parts));
    sse += messages.close();
    const std::vector<Json> events = events_of(sse);
    CHECK(types_of(sse) == Types{"message_start", "ping", "content_block_start",
                                 "content_block_delta", "content_block_delta", "content_block_stop",
                                 "content_block_start", "content_block_delta", "content_block_stop",
                                 "message_delta", "message_stop"});
    CHECK(events[4].at("delta").at("type") == "signature_delta");
    CHECK(!events[4].at("delta").at("signature").get<std::string>().empty());
    CHECK(events[6].at("index") == 1);
    CHECK(events[6].at("content_block").at("input") == Json::object());
    CHECK(events[7].at("delta") == Json({{"type", "input_json_delta"}, {"partial_json", "{}"}}));
    CHECK(events[9].at("delta").at("stop_reason") == "tool_use");
}

TEST_CASE("any split of an answer streams what the whole reply says") {
    MessagesWriter whole = writer();
    whole.add(0, finished(FinishReason::stop, long_answer()));
    const Json body = Json::parse(whole.body());
    REQUIRE(body.at("content").size() == 5);
    CHECK(body.at("content")[2].at("input") == Json::parse(R"({"command":"ls -l","n":[1,2.5]})"));
    CHECK(body.at("content")[3].at("input") == Json::object());
    for (unsigned seed = 0; seed < 50; ++seed) {
        CAPTURE(seed);
        std::mt19937 random(seed);
        MessagesWriter split = writer();
        std::string sse = split.open();
        for (AnswerPart& part : cut(long_answer(), random)) {
            sse += split.add(0, events_with({std::move(part)}));
            if (random() % 8 == 0) sse += split.heartbeat(random() % 2 ? 5.0 : 0.0);
        }
        sse += split.add(0, finished(FinishReason::stop));
        sse += split.close();
        CHECK(replay(sse) == body);
        CHECK(Json::parse(split.body()) == body);
    }
}

TEST_CASE("tool ids are unique over turns and of Anthropic's alphabet") {
    std::set<std::string> ids;
    for (const char* message_id : {"msg_1", "msg_2"}) {
        MessagesWriter messages(ApiRequest{}, message_id, 1);
        std::vector<AnswerPart> parts = call_parts(0, "Bash", "{}");
        for (AnswerPart part : call_parts(1, "Bash", "{}")) {
            if (part.kind == AnswerPart::Kind::call_begin) part.text = "functions.B\xc3\xa4sh\n:0";
            parts.push_back(part);
        }
        messages.add(0, finished(FinishReason::stop, parts));
        const Json body = Json::parse(messages.body());
        for (const Json& block : body.at("content")) {
            const std::string id = block.at("id");
            CHECK(id.starts_with("toolu_"));
            CHECK(id.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                       "0123456789_-") == std::string::npos);
            ids.insert(id);
        }
    }
    CHECK(ids.size() == 4);
}

TEST_CASE("the stop reason says why the answer ended") {
    const auto reason_of = [](AnswerEvents events) {
        MessagesWriter messages = writer();
        messages.add(0, std::move(events));
        return Json::parse(messages.body()).at("stop_reason").get<std::string>();
    };
    const std::vector<AnswerPart> text = {content_part("x")};
    CHECK(reason_of(finished(FinishReason::stop, text)) == "end_turn");
    CHECK(reason_of(finished(FinishReason::length, text)) == "max_tokens");
    CHECK(reason_of(finished(FinishReason::context_full, text)) == "model_context_window_exceeded");
    CHECK(reason_of(finished(FinishReason::stop, call_parts(0, "f", "{}"))) == "tool_use");
    CHECK(reason_of(finished(FinishReason::length, call_parts(0, "f", "{", false))) ==
          "max_tokens");
}

TEST_CASE("a stop text is named in stream and reply") {
    MessagesWriter messages = writer();
    AnswerEvents events = finished(FinishReason::stop, {content_part("x")});
    events.stop_text = "END";
    std::string sse = messages.open() + messages.add(0, std::move(events));
    sse += messages.close();
    const Json body = Json::parse(messages.body());
    CHECK(body.at("stop_reason") == "stop_sequence");
    CHECK(body.at("stop_sequence") == "END");
    CHECK(replay(sse) == body);
}

TEST_CASE("arguments are streamed while they are written") {
    MessagesWriter messages = writer();
    messages.open();
    const auto sent = [&](const char* text) {
        std::string arguments;
        for (const Json& event : events_of(messages.add(
                 0, events_with({{.kind = AnswerPart::Kind::call_arguments, .text = text}}))))
            arguments += event.at("delta").at("partial_json");
        return arguments;
    };
    std::vector<AnswerPart> parts = call_parts(0, "Write", "");
    const AnswerPart end = parts.back();
    parts.pop_back();
    messages.add(0, events_with(parts));
    CHECK(sent("{\"path\"") == "{\"path\"");
    CHECK(sent(": \"a.txt\"") == ": \"a.txt");
    CHECK(sent(", \"text\": \"one\\") == "\", \"text\": \"one");
    CHECK(sent("ntwo") == "\\ntwo");
    CHECK(sent("\"}") == "");
    const std::vector<Json> last = events_of(messages.add(0, events_with({end})));
    REQUIRE(last.size() == 2);
    CHECK(last[0].at("delta") == Json({{"type", "input_json_delta"}, {"partial_json", "\"}"}}));
    CHECK(last[1].at("type") == "content_block_stop");
}

TEST_CASE("half a value is never streamed as a whole one") {
    for (const bool is_complete : {true, false}) {
        MessagesWriter messages = writer();
        messages.open();
        std::string sent;
        for (const Json& event : events_of(messages.add(
                 0, events_with(
                        call_parts(0, "Bash", R"({"a": 1, "command": "rm "x" y"})", is_complete)))))
            if (event.contains("delta")) sent += event.at("delta").at("partial_json");
        CHECK(sent == R"({"a": 1, "command": "rm )");
    }
}

TEST_CASE("arguments that are no object of sane depth become an empty input, streamed or whole") {
    for (const std::string& arguments :
         {std::string(R"({"a": )"), std::string("[1]"), std::string("\"text\""),
          std::string("{} trailing"), std::string("\xff"), std::string(R"({"a": "say "hi""})"),
          std::string(200'000, '['),
          R"({"a":)" + std::string(200'000, '[') + std::string(200'000, ']') + "}"}) {
        CAPTURE(arguments.substr(0, 40));
        for (const bool is_complete : {true, false}) {
            MessagesWriter messages = writer();
            std::string sse = messages.open();
            sse += messages.add(0, events_with(call_parts(0, "f", arguments, is_complete)));
            sse += messages.add(0, finished(FinishReason::length));
            sse += messages.close();
            const Json body = Json::parse(messages.body());
            CHECK(body.at("content")[0].at("input") == Json::object());
            CHECK(replay(sse) == body);
        }
    }
}

TEST_CASE("an empty answer has an empty text block") {
    MessagesWriter messages = writer();
    std::string sse = messages.open() + messages.add(0, finished(FinishReason::stop));
    sse += messages.close();
    const Json body = Json::parse(messages.body());
    CHECK(body.at("content") == Json::parse(R"([{"type":"text","text":""}])"));
    CHECK(replay(sse) == body);
}

TEST_CASE("heartbeats ping, and think aloud after two minutes of silence") {
    MessagesWriter messages = writer();
    messages.open();
    CHECK(types_of(messages.heartbeat(5.0)) == Types{"ping"});
    CHECK(types_of(messages.heartbeat(119.9)) == Types{"ping"});
    const std::vector<Json> first = events_of(messages.heartbeat(120.0));
    REQUIRE(first.size() == 3);
    CHECK(first[1].at("content_block").at("type") == "thinking");
    CHECK(first[2].at("delta") == Json({{"type", "thinking_delta"}, {"thinking", ""}}));
    CHECK(types_of(messages.heartbeat(125.0)) == Types{"ping", "content_block_delta"});

    const std::vector<Json> text = events_of(messages.add(0, events_with({content_part("x")})));
    REQUIRE(text.size() == 4);
    CHECK(text[0].at("delta").at("type") == "signature_delta");
    CHECK(text[1].at("type") == "content_block_stop");
    CHECK(text[2].at("index") == 1);
    CHECK(text[3].at("delta").at("text") == "x");
    messages.add(0, finished(FinishReason::stop));
    CHECK(Json::parse(messages.body()).at("content").size() == 1);
}

TEST_CASE("thoughts that are not asked for are not shown, and silence is an empty text") {
    ApiRequest request;
    request.thinking = false;
    MessagesWriter messages(request, "msg_abc1", 100);
    std::string sse = messages.open();
    CHECK(messages.add(0, events_with({reasoning_part("Hm")})).empty());
    const std::string waiting = messages.heartbeat(120.0);
    CHECK(types_of(waiting) == Types{"ping", "content_block_start", "content_block_delta"});
    CHECK(events_of(waiting)[2].at("delta") == Json({{"type", "text_delta"}, {"text", ""}}));
    sse += waiting;
    CHECK(messages.add(0, events_with({reasoning_part(" and hm")})).empty());
    sse += messages.add(0, events_with({content_part("x")}));
    sse += messages.add(0, finished(FinishReason::stop));
    sse += messages.close();
    const Json body = Json::parse(messages.body());
    CHECK(body.at("content") == Json::parse(R"([{"type":"text","text":"x"}])"));
    CHECK(replay(sse) == body);
}

TEST_CASE("an answer that ends in thoughts that are not shown has an empty text") {
    for (const bool waits : {false, true}) {
        CAPTURE(waits);
        ApiRequest request;
        request.thinking = false;
        MessagesWriter messages(request, "msg_abc1", 100);
        std::string sse = messages.open();
        sse += messages.add(0, events_with({reasoning_part("Hm")}));
        if (waits) sse += messages.heartbeat(120.0);
        sse += messages.add(0, finished(FinishReason::length));
        sse += messages.close();
        const Json body = Json::parse(messages.body());
        CHECK(body.at("content") == Json::parse(R"([{"type":"text","text":""}])"));
        CHECK(body.at("stop_reason") == "max_tokens");
        CHECK(replay(sse) == body);
    }
}

TEST_CASE("a heartbeat's thinking block takes in the real thinking") {
    MessagesWriter messages = writer();
    messages.open();
    messages.heartbeat(120.0);
    CHECK(types_of(messages.add(0, events_with({reasoning_part("Hm")}))) ==
          Types{"content_block_delta"});
    messages.add(0, finished(FinishReason::stop));
    CHECK(Json::parse(messages.body()).at("content")[0].at("thinking") == "Hm");
}

TEST_CASE("silence inside a call is filled with an empty delta of that call") {
    MessagesWriter messages = writer();
    messages.open();
    std::vector<AnswerPart> parts = call_parts(0, "f", "{\"a\":");
    parts.pop_back();
    messages.add(0, events_with(parts));
    // What is held back of arguments may be all that comes, so no wait is too short.
    const std::vector<Json> events = events_of(messages.heartbeat(0.0));
    REQUIRE(events.size() == 2);
    CHECK(events[1].at("delta") == Json({{"type", "input_json_delta"}, {"partial_json", ""}}));
}

TEST_CASE("a failure is an error event and ends the stream") {
    MessagesWriter messages = writer();
    messages.open();
    AnswerEvents events = events_with({content_part("x")});
    events.error = "the device is gone";
    const std::vector<Json> sent = events_of(messages.add(0, std::move(events)));
    CHECK(sent.back() == Json::parse(R"({"type":"error","error":{"type":"api_error",
                                                  "message":"the device is gone"}})"));
    CHECK(messages.heartbeat(500.0).empty());
    CHECK(messages.close().empty());
}

TEST_CASE("a cancelled answer ends as an error, not as a finished one") {
    MessagesWriter messages = writer();
    messages.open();
    CHECK(types_of(messages.add(0, finished(FinishReason::cancelled))) == Types{"error"});
    CHECK(messages.close().empty());
}
