#include "engine/engine.h"

#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "tests/model/loaded_model.h"
#include "text/tokenizer.h"

using namespace baltoro;
using namespace baltoro::testing;

namespace {

const std::string kModel = std::string(BALTORO_GOLDEN_DIR) + "/oracle/k2-tiny";
constexpr int kChunk = 96;  // the experts' panels pay

// The oracle's checkpoint has no tokenizer: ids up to 255 stand for a byte each.
Tokenizer byte_tokenizer() {
    static const char* const kDigits =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    std::string ranks;
    for (int byte = 0; byte < 256; byte++)
        ranks += std::string{kDigits[byte >> 2], kDigits[(byte & 3) << 4], '=', '='} + " " +
                 std::to_string(byte) + "\n";
    return Tokenizer::from_ranks(ranks, {}, "bytes");
}

std::vector<std::int32_t> prompt_of(int n, int first) {
    std::vector<std::int32_t> ids;
    for (int i = 0; i < n; i++)
        ids.push_back((first + 37 * i) % 256);
    return ids;
}

Request request_of(int n_prompt, int first, int max_tokens) {
    Request request;
    request.prompt = prompt_of(n_prompt, first);
    request.max_tokens = max_tokens;
    request.ignore_eos = true;
    request.kind = AnswerKind::text;
    request.n_top_logprobs = 0;
    request.sampling.temperature = 1.0;
    request.sampling.seed = static_cast<std::uint64_t>(first);
    return request;
}

// Collects one answer; the test's thread waits for its end.
class Reader {
  public:
    Reader() {
        stream_->set_notify([this] {
            const std::lock_guard lock(mutex_);
            has_news_ = true;
            news_.notify_one();
        });
    }
    std::shared_ptr<AnswerStream> stream() { return stream_; }

    // Waits until the answer has ended or has `n_tokens`.
    void read(std::size_t n_tokens = SIZE_MAX) {
        while (!end.is_finished && ids.size() < n_tokens) {
            {
                std::unique_lock lock(mutex_);
                REQUIRE(news_.wait_for(lock, std::chrono::seconds(60), [&] { return has_news_; }));
                has_news_ = false;
            }
            end = stream_->take();
            for (const TokenLogprob& token : end.logprobs) {
                ids.push_back(token.id);
                logprobs.push_back(token.logprob);
            }
        }
    }

    std::vector<std::int32_t> ids;
    std::vector<float> logprobs;
    AnswerEvents end;

  private:
    std::shared_ptr<AnswerStream> stream_ = std::make_shared<AnswerStream>();
    std::mutex mutex_;
    std::condition_variable news_;
    bool has_news_ = false;
};

struct Served {
    LoadedModel loaded;
    Tokenizer tokenizer = byte_tokenizer();
    Engine engine;

    explicit Served(EngineOptions options, kernels::IsaLevel isa = kernels::best_isa())
        : loaded(kModel, isa, 2, kChunk), engine(loaded.model, tokenizer, options) {}

    std::unique_ptr<Reader> submit(Request request) {
        auto reader = std::make_unique<Reader>();
        engine.submit(std::move(request), reader->stream());
        return reader;
    }
    std::unique_ptr<Reader> answer(Request request) {
        auto reader = submit(std::move(request));
        reader->read();
        return reader;
    }
};

EngineOptions parallel(int n) {
    EngineOptions options;
    options.n_parallel = n;
    return options;
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
    const int n_prompt = shared.engine.context_size() / 3 - 70;
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
