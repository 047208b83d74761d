#include "engine/engine.h"

#include <cmath>
#include <memory>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "tests/engine/served_model.h"

using namespace baltoro;
using namespace baltoro::testing;

namespace {

// Of the prompt's tokens from the second one on; the first has none.
std::vector<float> scores_of(const Reader& reader) {
    REQUIRE(!reader.prompt_logprobs.empty());
    CHECK(std::isnan(reader.prompt_logprobs[0].logprob));
    std::vector<float> scores;
    for (std::size_t i = 1; i < reader.prompt_logprobs.size(); i++)
        scores.push_back(reader.prompt_logprobs[i].logprob);
    return scores;
}

Request scored_request(int n_prompt, int first, int max_tokens) {
    Request request = request_of(n_prompt, first, max_tokens);
    request.scores_prompt = true;
    return request;
}

}  // namespace

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

TEST_CASE("a prompt's tokens have the log-probabilities with which they were drawn") {
    Served served(parallel(1));
    const auto drawn = served.answer(request_of(30, 3, 100));
    Request again = scored_request(30, 3, 1);
    again.prompt.insert(again.prompt.end(), drawn->ids.begin(), drawn->ids.end());
    const std::vector<std::int32_t> prompt = again.prompt;
    const auto scored = served.answer(std::move(again));
    REQUIRE(scored->prompt_logprobs.size() == prompt.size());
    for (std::size_t i = 0; i < prompt.size(); i++)
        CHECK(scored->prompt_logprobs[i].id == prompt[i]);
    const std::vector<float> scores = scores_of(*scored);
    CHECK(std::vector(scores.begin() + 29, scores.end()) == drawn->logprobs);
    CHECK(scored->logprobs.size() == 1);
}

TEST_CASE("a prompt's log-probabilities are the same cold, warm and beside others") {
    Served served(parallel(3));
    const auto cold = served.answer(scored_request(700, 4, 5));
    const std::vector<float> expected = scores_of(*cold);
    CHECK(expected.size() == 699);
    const auto warm = served.answer(scored_request(700, 4, 5));
    CHECK(warm->end.usage.cached_tokens == 0);
    CHECK(scores_of(*warm) == expected);
    CHECK(warm->ids == cold->ids);
    CHECK(served.answer(request_of(700, 4, 1))->end.usage.cached_tokens == 640);

    const auto neighbour = served.submit(request_of(100, 5, 200));
    const auto first = served.submit(scored_request(700, 4, 5));
    const auto second = served.submit(scored_request(300, 6, 5));
    first->read();
    second->read();
    neighbour->read();
    CHECK(scores_of(*first) == expected);
    CHECK(first->ids == cold->ids);
    CHECK(scores_of(*second) == scores_of(*served.answer(scored_request(300, 6, 5))));
    CHECK(neighbour->ids == served.answer(request_of(100, 5, 200))->ids);
}

TEST_CASE("a request of its prompt only ends with the prompt") {
    Served served(parallel(1));
    for (const int n_prompt : {1, 2, 150, 300}) {
        CAPTURE(n_prompt);
        Request request = scored_request(n_prompt, 4, 0);
        request.prompt_only = true;
        request.n_top_logprobs = 3;
        const auto reader = served.answer(std::move(request));
        CHECK(reader->end.reason == FinishReason::length);
        CHECK(reader->end.usage.prompt_tokens == n_prompt);
        CHECK(reader->end.usage.completion_tokens == 0);
        CHECK(reader->ids.empty());
        CHECK(reader->prompt_logprobs.size() == static_cast<std::size_t>(n_prompt));
        CHECK(reader->prompt_logprobs[0].top.empty());
        if (n_prompt > 1) CHECK(reader->prompt_logprobs.back().top.size() == 3);
        CHECK(scores_of(*reader) == scores_of(*served.answer(scored_request(n_prompt, 4, 1))));
    }
    Request unscored = request_of(200, 4, 0);
    unscored.prompt_only = true;
    const auto reader = served.answer(std::move(unscored));
    CHECK(reader->end.reason == FinishReason::length);
    CHECK(reader->ids.empty());
    CHECK(reader->prompt_logprobs.empty());
}

TEST_CASE("a stop has a log-probability where the prompt's are asked for") {
    Served served(parallel(1), kernels::IsaLevel::scalar);
    for (const bool scores_prompt : {false, true}) {
        CAPTURE(scores_prompt);
        Request request = request_of(10, 1, 8);
        request.ignore_eos = false;
        request.sampling.logit_bias = {{kStopId, 100.0f}};
        request.scores_prompt = scores_prompt;
        const auto reader = served.answer(std::move(request));
        CHECK(reader->end.reason == FinishReason::stop);
        CHECK(reader->end.usage.completion_tokens == 0);
        if (scores_prompt)
            CHECK(reader->ids == std::vector<std::int32_t>{kStopId});
        else
            CHECK(reader->ids.empty());
    }
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

TEST_CASE("a queue of none takes an answer that shares what it needs with a running one") {
    EngineOptions options = parallel(2);
    options.max_waiting = 0;
    Served alone(parallel(1));
    Served served(options);
    const auto running = served.submit(request_of(1400, 1, 0));
    running->read(1);
    Reader refused;
    CHECK_THROWS_AS(served.engine.submit(request_of(1450, 2, 5), refused.stream()), QueueFull);
    const auto sharing = served.submit(request_of(1450, 1, 5));
    sharing->read();
    CHECK(sharing->end.usage.cached_tokens == 1344);
    CHECK(sharing->ids == alone.answer(request_of(1450, 1, 5))->ids);
    running->stream()->cancel();
    running->read();
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
