#include "engine/answer_stream.h"

#include <memory>
#include <string>
#include <utility>

#include <doctest/doctest.h>

using namespace baltoro;

namespace {

AnswerEvents text_events(const char* text) {
    AnswerEvents events;
    events.parts.push_back({AnswerPart::Kind::content, text});
    return events;
}

}  // namespace

TEST_CASE("the consumer is told once until it has looked") {
    AnswerStream stream;
    int n_told = 0;
    stream.set_notify([&] { n_told++; });
    stream.put(text_events("a"));
    stream.put(text_events("b"));
    CHECK(n_told == 1);
    const AnswerEvents events = stream.take();
    REQUIRE(events.parts.size() == 1);
    CHECK(events.parts[0].text == "ab");
    stream.put(text_events("c"));
    CHECK(n_told == 2);
}

TEST_CASE("an abandoned stream is cancelled and holds nothing of its consumer") {
    AnswerStream stream;
    auto consumer = std::make_shared<int>(0);
    const std::weak_ptr<int> alive = consumer;
    stream.set_notify([consumer] { ++*consumer; });
    consumer.reset();
    CHECK(!alive.expired());
    stream.abandon();
    CHECK(stream.is_cancelled());
    CHECK(alive.expired());
    stream.put(text_events("late"));
    CHECK(stream.take().parts.size() == 1);
}

TEST_CASE("text of one kind grows, other parts stay apart") {
    using Kind = AnswerPart::Kind;
    AnswerStream stream;
    AnswerEvents events;
    events.parts = {{Kind::reasoning, "a"},
                    {Kind::reasoning, "b"},
                    {Kind::content, "c"},
                    {Kind::call_begin, "functions.f:0", "f", 0},
                    {Kind::call_arguments, "{", "", 0},
                    {Kind::call_arguments, "}", "", 0},
                    {Kind::call_arguments, "[]", "", 1}};
    stream.put(std::move(events));
    stream.put(text_events("d"));
    const AnswerEvents taken = stream.take();
    REQUIRE(taken.parts.size() == 6);
    CHECK(taken.parts[0].text == "ab");
    CHECK(taken.parts[3].text == "{}");
    CHECK(taken.parts[4].text == "[]");
    CHECK(taken.parts[5].text == "d");
    CHECK(stream.take().parts.empty());
}

TEST_CASE("a consumer that leaves too much behind is cancelled and gets the end alone") {
    AnswerStream stream;
    const std::string text(std::size_t{1} << 20, 'x');
    for (int i = 0; i < 3; i++) {
        stream.put(text_events(text.c_str()));
        CHECK(!stream.is_cancelled());
    }
    stream.put(text_events(text.c_str()));
    CHECK(stream.is_cancelled());
    AnswerEvents end;
    end.is_finished = true;
    end.reason = FinishReason::cancelled;
    end.usage.completion_tokens = 7;
    stream.put(std::move(end));
    const AnswerEvents taken = stream.take();
    CHECK(taken.parts.size() == 1);
    CHECK(taken.parts[0].text.size() == 3 * text.size());
    CHECK(taken.is_finished);
    CHECK(taken.usage.completion_tokens == 7);
}

TEST_CASE("a consumer that looks now and then may read any amount") {
    AnswerStream stream;
    const std::string text(std::size_t{1} << 20, 'x');
    for (int i = 0; i < 10; i++) {
        stream.put(text_events(text.c_str()));
        stream.take();
    }
    CHECK(!stream.is_cancelled());
}

TEST_CASE("log-probabilities, progress and the end are merged until they are taken") {
    AnswerStream stream;
    AnswerEvents first;
    first.prefilled_tokens = 64;
    first.logprobs = {{5, -1.0f, {}}};
    stream.put(std::move(first));
    AnswerEvents second;
    second.prefilled_tokens = 100;
    second.logprobs = {{6, -2.0f, {}}};
    second.is_finished = true;
    second.reason = FinishReason::stop;
    second.stop_text = "END";
    second.error = "none";
    stream.put(std::move(second));
    const AnswerEvents taken = stream.take();
    CHECK(taken.prefilled_tokens == 100);
    REQUIRE(taken.logprobs.size() == 2);
    CHECK(taken.logprobs[1].id == 6);
    CHECK(taken.is_finished);
    CHECK(taken.stop_text == "END");
    CHECK(taken.error == "none");
    CHECK(stream.take().prefilled_tokens == 100);  // stays known
}
