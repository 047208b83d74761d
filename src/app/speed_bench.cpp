#include "app/speed_bench.h"

#include <algorithm>
#include <chrono>

#include <fmt/format.h>

#include "base/check.h"
#include "base/error.h"

namespace baltoro {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point begin) {
    return std::chrono::duration<double>(Clock::now() - begin).count();
}

}  // namespace

std::string BenchTest::name() const {
    const std::string what =
        n_prompt > 0 ? fmt::format("pp{}", n_prompt) : fmt::format("tg{}", n_generated);
    return depth > 0 ? fmt::format("{} @ d{}", what, depth) : what;
}

int BenchTest::n_context() const noexcept {
    return std::max(depth, n_prompt > 0 ? 0 : 1) + n_tokens();
}

std::vector<BenchTest> bench_tests(const BenchCommand& command) {
    std::vector<BenchTest> tests;
    for (const int depth : command.depths) {
        for (const int n : command.prompt_tokens)
            if (n > 0) tests.push_back({n, 0, depth});
        for (const int n : command.generated_tokens)
            if (n > 0) tests.push_back({0, n, depth});
    }
    if (tests.empty())
        throw Error("--prompt-tokens and --generated-tokens are 0: there is nothing to measure");
    const int context = command.runtime.context_size;
    for (const BenchTest& test : tests) {
        if (context > 0 && test.n_context() > context)
            throw Error(fmt::format("{} needs {} tokens, the context holds {}; raise --ctx-size",
                                    test.name(), test.n_context(), context));
    }
    return tests;
}

SpeedBench::SpeedBench(Session& session, int vocab_size, std::uint64_t seed)
    : session_(session), vocab_size_(vocab_size), random_(seed) {}

std::int32_t SpeedBench::random_token() noexcept {
    return static_cast<std::int32_t>(random_.below(static_cast<std::uint64_t>(vocab_size_)));
}

void SpeedBench::append_random(int n) {
    for (int i = 0; i < n; i++)
        prompt_.push_back(random_token());
}

// The depth stays in the cache from one repetition to the next, what follows it is new.
double SpeedBench::prefill_seconds(const BenchTest& test) {
    prompt_.resize(static_cast<std::size_t>(test.depth));
    append_random(test.n_prompt);
    const auto begin = Clock::now();
    session_.prefill(prompt_);
    return seconds_since(begin);
}

double SpeedBench::decode_seconds(const BenchTest& test) {
    session_.prefill(prompt_);
    const auto begin = Clock::now();
    for (int i = 0; i < test.n_generated; i++)
        session_.step(random_token());
    return seconds_since(begin);
}

std::vector<double> SpeedBench::run(const BenchTest& test, int n_repetitions, bool warm_up) {
    const bool is_prefill = test.n_prompt > 0;
    prompt_.clear();
    append_random(is_prefill ? test.depth : std::max(test.depth, 1));
    // The first prefill behind a depth computes that, too.
    if (warm_up || (is_prefill && test.depth > 0))
        is_prefill ? prefill_seconds(test) : decode_seconds(test);
    std::vector<double> seconds;
    for (int i = 0; i < n_repetitions; i++) {
        seconds.push_back(is_prefill ? prefill_seconds(test) : decode_seconds(test));
        check(!is_prefill || session_.prefilled() == test.n_prompt,
              "a repetition computes the new tokens and nothing else");
    }
    session_.end_answer();
    return seconds;
}

}  // namespace baltoro
