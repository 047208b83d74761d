#include "server/openai_responses_writer.h"

#include <set>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "server/carried_reasoning.h"
#include "tests/server/event_text.h"

using namespace baltoro;
using namespace baltoro::server;
using Types = std::vector<std::string>;

namespace {

ApiRequest request_with_tool() {
    ApiRequest request;
    request.model = "kimi-k2";
    request.tools_json = R"([{"type":"function","function":{"name":"f","description":"d",
                              "parameters":{"type":"object"}}}])";
    return request;
}

ResponsesWriter writer(const ApiRequest& request = request_with_tool()) {
    return ResponsesWriter(request, "resp_abc", 100, 1700000000);
}

// The items that a stream's deltas add up to; checks numbering and the closing events on the way.
Json replay(const std::string& sse) {
    Json output = Json::array();
    int sequence_number = 0;
    std::string text;
    for (const Json& event : events_of(sse)) {
        const std::string type = event.at("type");
        CHECK(event.at("sequence_number") == sequence_number++);
        if (type == "response.output_item.added") {
            CHECK(event.at("output_index") == output.size());
            CHECK(event.at("item").at("status") == "in_progress");
            output.push_back(event.at("item"));
            text.clear();
        }
        if (event.contains("item_id")) {
            CHECK(event.at("item_id") == output.back().at("id"));
            CHECK(event.at("output_index") == output.size() - 1);
            CHECK(event.contains("content_index") == (output.back().at("type") != "function_call"));
        }
        if (event.contains("delta")) text += event.at("delta").get<std::string>();
        for (const char* field : {"text", "arguments"}) {
            if (event.contains(field)) CHECK(event.at(field) == text);
        }
        if (type == "response.content_part.done") CHECK(event.at("part").at("text") == text);
        if (type == "response.output_item.done") {
            CHECK(event.at("item").at("id") == output.back().at("id"));
            output.back() = event.at("item");
        }
    }
    return output;
}

}  // namespace

TEST_CASE("a text response has the documented events in order") {
    ResponsesWriter responses = writer();
    std::string sse = responses.open();
    sse += responses.add(0, events_with({content_part("Hel"), content_part("lo")}));
    sse += responses.add(0, finished(FinishReason::stop));
    sse += responses.close();
    CHECK(types_of(sse) == Types{"response.created", "response.in_progress",
                                 "response.output_item.added", "response.content_part.added",
                                 "response.output_text.delta", "response.output_text.delta",
                                 "response.output_text.done", "response.content_part.done",
                                 "response.output_item.done", "response.completed"});
    const std::vector<Json> events = events_of(sse);
    CHECK(events[0].at("response").at("status") == "in_progress");
    CHECK(events[0].at("response").at("usage").is_null());
    CHECK(events[4].at("delta") == "Hel");
    const Json& response = events.back().at("response");
    CHECK(response.at("status") == "completed");
    CHECK(response.at("output") == replay(sse));
    CHECK(response.at("output")[0].at("content")[0].at("text") == "Hello");
    CHECK(response.at("usage") == Json::parse(R"({"input_tokens":100,
        "input_tokens_details":{"cached_tokens":60},"output_tokens":7,
        "output_tokens_details":{"reasoning_tokens":2},"total_tokens":107})"));
}

TEST_CASE("a call has its arguments' events between its item's") {
    ResponsesWriter responses = writer();
    responses.open();
    const std::string sse =
        responses.add(0, finished(FinishReason::stop, call_parts(0, "pwd", "")));
    CHECK(types_of(sse) ==
          Types{"response.output_item.added", "response.function_call_arguments.delta",
                "response.function_call_arguments.done", "response.output_item.done"});
    const Json item = events_of(sse).back().at("item");
    CHECK(item.at("type") == "function_call");
    CHECK(item.at("name") == "pwd");
    CHECK(item.at("arguments") == "{}");
    CHECK(item.at("status") == "completed");
    CHECK(item.at("call_id").get<std::string>().starts_with("call_abc"));
}

TEST_CASE("any split of an answer streams what the whole response says") {
    ResponsesWriter whole = writer();
    whole.add(0, finished(FinishReason::stop, long_answer()));
    const Json body = Json::parse(whole.body());
    REQUIRE(body.at("output").size() == 5);
    CHECK(body.at("output")[2].at("arguments") == R"({"command": "ls -l", "n": [1, 2.5]})");
    for (unsigned seed = 0; seed < 50; ++seed) {
        CAPTURE(seed);
        std::mt19937 random(seed);
        ResponsesWriter split = writer();
        std::string sse = split.open();
        for (AnswerPart& part : cut(long_answer(), random)) {
            sse += split.add(0, events_with({std::move(part)}));
            if (random() % 8 == 0) sse += split.heartbeat(200.0);
        }
        sse += split.add(0, finished(FinishReason::stop));
        sse += split.close();
        CHECK(replay(sse) == body.at("output"));
        CHECK(events_of(sse).back().at("response") == body);
    }
}

TEST_CASE("reasoning is an item that a client can send back") {
    ResponsesWriter responses = writer();
    responses.add(0, finished(FinishReason::stop, {reasoning_part("Hm"), content_part("x")}));
    const Json item = Json::parse(responses.body()).at("output")[0];
    CHECK(item.at("type") == "reasoning");
    CHECK(item.at("summary") == Json::array());
    CHECK(item.at("content") == Json::parse(R"([{"type":"reasoning_text","text":"Hm"}])"));
    CHECK(carried_reasoning(item.at("encrypted_content").get<std::string>()) == "Hm");
    CHECK(!carried_reasoning("gAAAAABo"));
}

TEST_CASE("a response repeats the request's settings") {
    ApiRequest request = request_with_tool();
    request.calls = ApiRequest::Calls::required;
    request.forced_tool = "f";
    request.response_schema = R"({"type":"object"})";
    request.request.one_call_only = true;
    request.request.max_tokens = 50;
    request.request.sampling.temperature = 0.25;
    ResponsesWriter responses = writer(request);
    responses.add(0, finished(FinishReason::stop));
    const Json body = Json::parse(responses.body());
    CHECK(body.at("id") == "resp_abc");
    CHECK(body.at("object") == "response");
    CHECK(body.at("created_at") == 1700000000);
    CHECK(body.at("model") == "kimi-k2");
    CHECK(body.at("output") == Json::array());
    CHECK(body.at("tools") == Json::parse(R"([{"type":"function","name":"f","description":"d",
        "parameters":{"type":"object"},"strict":false}])"));
    CHECK(body.at("tool_choice") == Json({{"type", "function"}, {"name", "f"}}));
    CHECK(body.at("parallel_tool_calls") == false);
    CHECK(body.at("temperature") == 0.25);
    CHECK(body.at("max_output_tokens") == 50);
    CHECK(body.at("text").at("format").at("schema") == Json({{"type", "object"}}));
    CHECK(body.at("metadata") == Json::object());
    CHECK(body.at("error").is_null());
    CHECK(body.at("incomplete_details").is_null());
    CHECK(body.at("previous_response_id").is_null());
}

TEST_CASE("an answer without room ends incomplete") {
    for (const FinishReason reason : {FinishReason::length, FinishReason::context_full}) {
        CAPTURE(static_cast<int>(reason));
        ResponsesWriter responses = writer();
        std::string sse = responses.open();
        sse += responses.add(0, finished(reason, {content_part("x")}));
        sse += responses.close();
        const Json last = events_of(sse).back();
        CHECK(last.at("type") == "response.incomplete");
        CHECK(last.at("response").at("status") == "incomplete");
        CHECK(last.at("response").at("incomplete_details").at("reason") == "max_output_tokens");
        CHECK(last.at("response").at("output")[0].at("status") == "incomplete");
        CHECK(Json::parse(responses.body()) == last.at("response"));
    }
}

TEST_CASE("a call cut short is an incomplete item") {
    ResponsesWriter responses = writer();
    responses.add(0, finished(FinishReason::length, call_parts(0, "f", R"({"a":)", false)));
    const Json item = Json::parse(responses.body()).at("output")[0];
    CHECK(item.at("status") == "incomplete");
    CHECK(item.at("arguments") == R"({"a":)");
}

TEST_CASE("a heartbeat is an event that says nothing new") {
    ResponsesWriter responses = writer();
    responses.open();
    const std::vector<Json> events = events_of(responses.heartbeat(10.0));
    REQUIRE(events.size() == 1);
    CHECK(events[0].at("type") == "response.in_progress");
    CHECK(events[0].at("sequence_number") == 2);
}

TEST_CASE("a failure is response.failed and ends the stream") {
    ResponsesWriter responses = writer();
    responses.open();
    AnswerEvents events = events_with({content_part("x")});
    events.error = "the device is gone";
    const Json last = events_of(responses.add(0, std::move(events))).back();
    CHECK(last.at("type") == "response.failed");
    CHECK(last.at("response").at("status") == "failed");
    CHECK(last.at("response").at("error") ==
          Json({{"code", "server_error"}, {"message", "the device is gone"}}));
    CHECK(responses.heartbeat(500.0).empty());
    CHECK(responses.close().empty());
}

TEST_CASE("ids of calls and items are unique within and over responses") {
    std::set<std::string> ids;
    for (const char* response_id : {"resp_1", "resp_2"}) {
        ResponsesWriter responses(ApiRequest{}, response_id, 1, 0);
        std::vector<AnswerPart> parts = call_parts(0, "f", "{}");
        for (const AnswerPart& part : call_parts(1, "f", "{}"))
            parts.push_back(part);
        responses.add(0, finished(FinishReason::stop, parts));
        const Json body = Json::parse(responses.body());
        for (const Json& item : body.at("output")) {
            ids.insert(item.at("id"));
            ids.insert(item.at("call_id"));
        }
    }
    CHECK(ids.size() == 8);
}
