#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "app/options.h"
#include "base/random.h"
#include "engine/session.h"

namespace baltoro {

// One line of a benchmark: prefill of n_prompt tokens or n_generated decode steps, one of them 0,
// behind `depth` tokens that are in the KV cache already.
struct BenchTest {
    int n_prompt = 0;
    int n_generated = 0;
    int depth = 0;

    int n_tokens() const noexcept { return n_prompt + n_generated; }
    // Context that it takes; decoding starts behind one token at least.
    int n_context() const noexcept;
    // "pp512", "tg128 @ d4096": the names that llama-bench gives them.
    std::string name() const;
};

// Every prompt length and then every number of steps at every depth, the shallowest first as they
// are given. Throws Error if there are none, or if one does not fit --ctx-size where that is given.
std::vector<BenchTest> bench_tests(const BenchCommand& command);

// Runs tests on one session with random tokens, which no prefix of an earlier run helps. Engine
// thread.
class SpeedBench {
  public:
    SpeedBench(Session& session, int vocab_size, std::uint64_t seed);

    // Fills the depth, runs once uncounted if `warm_up`, and returns the seconds that each of the
    // repetitions took.
    std::vector<double> run(const BenchTest& test, int n_repetitions, bool warm_up);

  private:
    double prefill_seconds(const BenchTest& test);
    double decode_seconds(const BenchTest& test);
    std::int32_t random_token() noexcept;
    void append_random(int n);

    Session& session_;
    int vocab_size_;
    Random random_;
    std::vector<std::int32_t> prompt_;
};

}  // namespace baltoro
