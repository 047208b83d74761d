#include "server/openai_completions_writer.h"

#include <limits>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "tests/server/openai_schema.h"
#include "tests/text/tokenizer_fixture.h"

using namespace baltoro;
using namespace baltoro::server;

namespace {

const Tokenizer& bytes_tokenizer() {
    static const Tokenizer tokenizer = Tokenizer::from_ranks(byte_ranks(), {}, "byte ranks");
    return tokenizer;
}

ApiRequest text_request(bool stream) {
    ApiRequest request;
    request.input = ApiRequest::Input::text;
    request.texts = {"Hi"};
    request.model = "kimi-k2";
    request.stream = stream;
    return request;
}

CompletionsWriter writer_of(const ApiRequest& request) {
    return {request, "cmpl-1", 1700000000, bytes_tokenizer()};
}

AnswerEvents text_events(std::string text) {
    AnswerEvents events;
    if (!text.empty())
        events.parts = {{.kind = AnswerPart::Kind::content, .text = std::move(text)}};
    return events;
}

AnswerEvents finished(FinishReason reason = FinishReason::stop) {
    AnswerEvents events;
    events.is_finished = true;
    events.reason = reason;
    events.usage.prompt_tokens = 2;
    events.usage.completion_tokens = 3;
    return events;
}

std::vector<Json> chunks_of(const std::string& stream) {
    std::vector<Json> events = schema::events_of(stream);
    for (const Json& event : events) {
        if (event.is_object() && event.contains("object")) schema::check_completion(event);
    }
    return events;
}

Json reply_of(CompletionsWriter& writer) {
    Json reply = Json::parse(writer.body());
    schema::check_completion(reply);
    schema::check_key(reply, "usage", "o");
    return reply;
}

}  // namespace

TEST_CASE("a stream of completions is text, finish, usage and DONE") {
    ApiRequest request = text_request(true);
    request.include_usage = true;
    CompletionsWriter writer = writer_of(request);
    std::string stream = writer.open() + writer.heartbeat(5);
    stream += writer.add(0, text_events("a"));
    stream += writer.add(0, text_events(""));
    stream += writer.add(0, finished());
    stream += writer.close();
    const std::vector<Json> events = chunks_of(stream);
    REQUIRE(events.size() == 5);
    CHECK(events[0].at("comment") == "prefill 0");
    CHECK(events[1].at("choices")[0].at("text") == "a");
    CHECK(events[1].at("choices")[0].at("finish_reason").is_null());
    CHECK(events[2].at("choices")[0].at("finish_reason") == "stop");
    CHECK(events[3].at("choices") == Json::array());
    CHECK(events[3].at("usage").at("total_tokens") == 5);
    CHECK(events[4] == "[DONE]");
}

TEST_CASE("choices of several prompts have their indices and every prompt counts") {
    ApiRequest request = text_request(false);
    request.texts = {"Hi", "Ho"};
    request.n = 2;
    CompletionsWriter writer = writer_of(request);
    for (int i = 0; i < 4; i++) {
        CHECK(writer.add(i, text_events(std::to_string(i))).empty());
        CHECK(writer.add(i, finished(i == 3 ? FinishReason::length : FinishReason::stop)).empty());
    }
    const Json reply = reply_of(writer);
    REQUIRE(reply.at("choices").size() == 4);
    CHECK(reply.at("choices")[2].at("text") == "2");
    CHECK(reply.at("choices")[2].at("index") == 2);
    CHECK(reply.at("choices")[3].at("finish_reason") == "length");
    CHECK(reply.at("usage").at("prompt_tokens") == 4);
    CHECK(reply.at("usage").at("completion_tokens") == 12);
}

TEST_CASE("echo puts each choice's prompt in front") {
    ApiRequest request = text_request(true);
    request.echo = true;
    SUBCASE("of a text") {}
    SUBCASE("of ids, some of which the tokenizer has no text for") {
        request.input = ApiRequest::Input::tokens;
        request.texts.clear();
        request.tokens = {{'H', 'i', 100'000}};
    }
    CompletionsWriter writer = writer_of(request);
    CHECK(chunks_of(writer.open()).at(0).at("choices")[0].at("text") == "Hi");
    (void)writer.add(0, text_events("!"));
    (void)writer.add(0, finished());
    CHECK(reply_of(writer).at("choices")[0].at("text") == "Hi!");
}

TEST_CASE("logprobs have offsets in code points that go on from chunk to chunk") {
    ApiRequest request = text_request(true);
    request.request.n_top_logprobs = 1;
    CompletionsWriter writer = writer_of(request);
    AnswerEvents first = text_events("a");
    first.logprobs = {{.id = 'a', .logprob = -1.0f, .top = {{'b', -0.5f}}}};
    const Json logprobs =
        chunks_of(writer.add(0, std::move(first))).at(0).at("choices")[0].at("logprobs");
    CHECK(logprobs == Json::parse(R"({"text_offset": [0], "token_logprobs": [-1.0],
        "tokens": ["a"], "top_logprobs": [{"a": -1.0, "b": -0.5}]})"));
    AnswerEvents second = text_events("\xc3\xa9z");
    second.logprobs = {{.id = 0xc3, .logprob = -1.0f, .top = {}},
                       {.id = 0xa9, .logprob = -1.0f, .top = {}},
                       {.id = 'z', .logprob = -1.0f, .top = {}}};
    const Json chunk = chunks_of(writer.add(0, std::move(second))).at(0);
    CHECK(chunk.at("choices")[0].at("logprobs").at("text_offset") == Json::parse("[1, 2, 2]"));
}

TEST_CASE("a whole completion has the logprobs of all tokens") {
    ApiRequest request = text_request(false);
    request.request.n_top_logprobs = 0;
    CompletionsWriter writer = writer_of(request);
    for (int i = 0; i < 2; i++) {
        AnswerEvents events = text_events("a");
        events.logprobs = {{.id = 'a', .logprob = -1.0f, .top = {}}};
        (void)writer.add(0, std::move(events));
    }
    (void)writer.add(0, finished());
    const Json logprobs = reply_of(writer).at("choices")[0].at("logprobs");
    CHECK(logprobs.at("text_offset") == Json::parse("[0, 1]"));
    CHECK(logprobs.at("tokens") == Json::parse(R"(["a", "a"])"));
}

TEST_CASE("a prompt's tokens have null, then log-probabilities, and the answer's follow") {
    constexpr float kNone = std::numeric_limits<float>::quiet_NaN();
    ApiRequest request = text_request(true);
    request.echo = true;
    request.request.n_top_logprobs = 1;
    request.request.scores_prompt = true;
    CompletionsWriter writer = writer_of(request);
    CHECK(writer.open().empty());
    AnswerEvents first;
    first.prompt_logprobs = {{.id = 'H', .logprob = kNone, .top = {}}};
    CHECK(writer.add(0, std::move(first)).empty());
    AnswerEvents second;
    second.prompt_logprobs = {{.id = 'i', .logprob = -2.0f, .top = {{'o', -1.0f}}}};
    CHECK(writer.add(0, std::move(second)).empty());
    AnswerEvents third = text_events("!");
    third.logprobs = {{.id = '!', .logprob = -0.5f, .top = {{'!', -0.5f}}}};
    const Json choice = chunks_of(writer.add(0, std::move(third))).at(0).at("choices")[0];
    CHECK(choice.at("text") == "Hi!");
    const Json expected = Json::parse(R"({"text_offset": [0, 1, 2],
        "token_logprobs": [null, -2.0, -0.5], "tokens": ["H", "i", "!"],
        "top_logprobs": [null, {"i": -2.0, "o": -1.0}, {"!": -0.5}]})");
    CHECK(choice.at("logprobs") == expected);
    const Json last = chunks_of(writer.add(0, finished())).at(0).at("choices")[0];
    CHECK(last.at("text") == "");
    CHECK(last.at("logprobs").is_null());
}

TEST_CASE("a completion of its prompt only is the prompt with its log-probabilities") {
    for (const bool is_stream : {false, true}) {
        CAPTURE(is_stream);
        ApiRequest request = text_request(is_stream);
        request.echo = true;
        request.request.n_top_logprobs = 0;
        request.request.scores_prompt = true;
        request.request.prompt_only = true;
        CompletionsWriter writer = writer_of(request);
        (void)writer.open();
        AnswerEvents events = finished(FinishReason::length);
        events.prompt_logprobs = {
            {.id = 'H', .logprob = std::numeric_limits<float>::quiet_NaN(), .top = {}},
            {.id = 'i', .logprob = -2.0f, .top = {}}};
        const std::string sent = writer.add(0, std::move(events));
        const Json choice = (is_stream ? chunks_of(sent).at(0) : reply_of(writer)).at("choices")[0];
        CHECK(choice.at("text") == "Hi");
        CHECK(choice.at("finish_reason") == "length");
        CHECK(choice.at("logprobs").at("token_logprobs") == Json::parse("[null, -2.0]"));
    }
}

TEST_CASE("a failed completion is an error event and the end") {
    CompletionsWriter writer = writer_of(text_request(true));
    AnswerEvents failure;
    failure.error = "out of memory";
    CHECK(schema::events_of(writer.add(0, std::move(failure))).at(0).at("error").at("message") ==
          "out of memory");
    CHECK(writer.close().empty());
}
