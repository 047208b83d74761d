#include "engine/engine.h"

#include <memory>
#include <vector>

#include <doctest/doctest.h>

#include "tests/engine/served_model.h"

using namespace baltoro;
using namespace baltoro::testing;

TEST_CASE("an answer has the same tokens and logprobs alone, batched, cold and warm") {
    Served alone(parallel(1));
    Served shared(parallel(8));
    std::vector<std::unique_ptr<Reader>> together;
    for (int i = 0; i < 8; i++)
        together.push_back(shared.submit(request_of(20 + 31 * i, i, 30)));
    for (int i = 0; i < 8; i++) {
        CAPTURE(i);
        const auto cold = alone.answer(request_of(20 + 31 * i, i, 30));
        const auto warm = alone.answer(request_of(20 + 31 * i, i, 30));
        together[static_cast<std::size_t>(i)]->read();
        CHECK(cold->ids.size() == 30);
        CHECK(warm->end.usage.cached_tokens == (19 + 31 * i) / 64 * 64);
        CHECK(warm->ids == cold->ids);
        CHECK(warm->logprobs == cold->logprobs);
        CHECK(together[static_cast<std::size_t>(i)]->ids == cold->ids);
        CHECK(together[static_cast<std::size_t>(i)]->logprobs == cold->logprobs);
    }
}

TEST_CASE("cancelled answers free their pages and leave their neighbours' tokens alone") {
    Served served(parallel(4));
    const auto expected = served.answer(request_of(100, 5, 60));
    const auto neighbour = served.submit(request_of(100, 5, 60));
    for (int i = 0; i < 20; i++) {
        const auto gone = served.submit(request_of(10 + 11 * i, 7 + i, 1000));
        gone->read(static_cast<std::size_t>(i % 4));
        gone->stream()->cancel();
        gone->read();
        CHECK(gone->end.reason == FinishReason::cancelled);
    }
    neighbour->read();
    CHECK(neighbour->ids == expected->ids);
    const EngineMetrics metrics = served.engine.metrics();
    CHECK(metrics.n_running == 0);
    CHECK(metrics.n_pages_used == 0);
    CHECK(metrics.cancelled_total == 20);
}

TEST_CASE("forced tokens come first and count as the answer's") {
    Served served(parallel(1), kernels::IsaLevel::scalar);
    Request request = request_of(10, 1, 8);
    request.forced = {'a', 'b', 'c'};
    const auto reader = served.answer(std::move(request));
    CHECK(reader->end.usage.completion_tokens == 8);
    CHECK(reader->ids.size() == 5);  // drawn
}

TEST_CASE("a full queue and requests that cannot be run are refused") {
    EngineOptions options = parallel(1);
    options.max_waiting = 1;
    Served served(options, kernels::IsaLevel::scalar);
    const auto running = served.submit(request_of(10, 1, 500));
    const auto waiting = served.submit(request_of(10, 2, 1));
    Reader refused;
    CHECK_THROWS_AS(served.engine.submit(request_of(10, 3, 1), refused.stream()), QueueFull);
    running->stream()->cancel();
    running->read();
    waiting->read();
    CHECK(waiting->ids.size() == 1);
    CHECK_THROWS_WITH_AS(served.engine.submit(request_of(0, 1, 1), refused.stream()),
                         doctest::Contains("no tokens"), Error);
    Request bad = request_of(5, 1, 1);
    bad.prompt[2] = 5000;
    CHECK_THROWS_WITH_AS(served.engine.submit(std::move(bad), refused.stream()),
                         doctest::Contains("outside the vocabulary"), Error);
}

TEST_CASE("max_waiting answers wait, whatever keeps them from running") {
    EngineOptions options = parallel(4);
    options.max_waiting = 1;
    Served served(options);
    // Has all pages, so that three slots are of no use.
    const auto running = served.submit(request_of(served.engine.context_size() - 60, 1, 0));
    running->read(1);
    const auto waiting = served.submit(request_of(10, 2, 1));
    Reader refused;
    CHECK_THROWS_WITH_AS(served.engine.submit(request_of(10, 3, 1), refused.stream()),
                         doctest::Contains("1 requests wait already"), QueueFull);
    CHECK(served.engine.metrics().n_waiting == 1);
    running->read();
    waiting->read();
    CHECK(waiting->ids.size() == 1);
}

TEST_CASE("answers that give their pages to older ones stay the same and are counted") {
    Served alone(parallel(1));
    Served shared(parallel(3));
    const int n_prompt = shared.engine.context_size() / 3 - 110;  // all have room at first
    std::vector<std::unique_ptr<Reader>> together;
    for (int i = 0; i < 3; i++)
        together.push_back(shared.submit(request_of(n_prompt, i, 200)));
    for (int i = 0; i < 3; i++) {
        CAPTURE(i);
        together[static_cast<std::size_t>(i)]->read();
        const auto expected = alone.answer(request_of(n_prompt, i, 200));
        CHECK(together[static_cast<std::size_t>(i)]->ids == expected->ids);
        CHECK(together[static_cast<std::size_t>(i)]->logprobs == expected->logprobs);
    }
    CHECK(shared.engine.metrics().preemptions_total > 0);
    CHECK(alone.engine.metrics().preemptions_total == 0);
}

TEST_CASE("an engine that is destroyed ends what it has, with a reason") {
    Reader reader;
    {
        Served served(parallel(1), kernels::IsaLevel::scalar);
        served.engine.submit(request_of(10, 1, 0), reader.stream());
    }
    reader.read();
    CHECK((reader.end.error == "the server is stopping" ||
           reader.end.reason == FinishReason::context_full));
}
