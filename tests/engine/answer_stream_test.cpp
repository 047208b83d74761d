#include "engine/answer_stream.h"

#include <memory>

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
