// Time of one draw over Kimi's vocabulary: sampler_bench [N_DRAWS]

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <vector>

#include "base/random.h"
#include "sampling/sampler.h"

using namespace baltoro;

namespace {

constexpr int kVocabSize = 163840;

std::vector<float> normal_logits(double deviation) {
    Random random(1);
    std::vector<float> logits(kVocabSize);
    for (float& logit : logits)
        logit = static_cast<float>(deviation * random.normal());
    return logits;
}

// Prints what one call of `draw` takes.
template <typename Draw>
void time_draws(std::string_view name, int n_draws, const Draw& draw) {
    std::vector<double> times;
    for (int i = 0; i < n_draws; ++i) {
        const auto start = std::chrono::steady_clock::now();
        draw();
        times.push_back(
            std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start)
                .count());
    }
    std::sort(times.begin(), times.end());
    std::printf("%-26.*s median %.3f ms (min %.3f, max %.3f)\n", static_cast<int>(name.size()),
                name.data(), times[times.size() / 2], times.front(), times.back());
}

void measure(std::string_view name,
             const std::vector<float>& logits,
             const SamplingOptions& options,
             int n_draws) {
    Sampler sampler(options, kVocabSize);
    time_draws(name, n_draws, [&] { sampler.accept(sampler.draw(logits)); });
}

void measure_masked(const std::vector<float>& logits, int n_draws) {
    Sampler sampler({.temperature = 0.6}, kVocabSize);
    TokenMask allowed(kVocabSize);
    for (std::int32_t id = 0; id < kVocabSize; id += 3)
        allowed.allow(id);
    time_draws("0.6, a third allowed", n_draws, [&] { sampler.draw(logits, &allowed); });
}

void measure_logprobs(const std::vector<float>& logits, int n_draws) {
    Sampler sampler({.temperature = 0.0}, kVocabSize);
    time_draws("greedy, 20 top logprobs", n_draws, [&] {
        sampler.draw(logits);
        sampler.top_logprobs(20);
    });
}

}  // namespace

int main(int argc, char** argv) {
    const int n_draws = argc > 1 ? std::max(1, std::atoi(argv[1])) : 200;
    std::printf("vocabulary %d, normal logits, %d draws each\n", kVocabSize, n_draws);
    for (const double deviation : {3.0, 0.1}) {
        const std::vector<float> logits = normal_logits(deviation);
        std::printf("deviation %.1f\n", deviation);
        measure("greedy", logits, {.temperature = 0.0}, n_draws);
        measure("temperature 0.6", logits, {.temperature = 0.6}, n_draws);
        measure("0.6, top_p 0.95", logits, {.temperature = 0.6, .top_p = 0.95}, n_draws);
        measure("0.6, min_p 0.01", logits, {.temperature = 0.6, .min_p = 0.01}, n_draws);
        measure("0.6, top_k 40, top_p 0.95", logits,
                {.temperature = 0.6, .top_p = 0.95, .top_k = 40}, n_draws);
        measure("0.6, top_k 20000", logits, {.temperature = 0.6, .top_k = 20000}, n_draws);
    }
    const std::vector<float> logits = normal_logits(3.0);
    SamplingOptions penalised{.temperature = 0.6, .top_p = 0.95, .repetition_penalty = 1.1};
    measure("0.6, top_p, repetition", logits, penalised, n_draws);
    measure_masked(logits, n_draws);
    measure_logprobs(logits, n_draws);
    return 0;
}
