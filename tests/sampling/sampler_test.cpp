#include "sampling/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include <doctest/doctest.h>

#include "base/error.h"
#include "tests/sampling/allocation_count.h"

using namespace baltoro;

namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

// Exact probabilities in double, by the definition of the options.
std::vector<double> probabilities(const std::vector<float>& logits,
                                  const SamplingOptions& options) {
    std::vector<int> order;
    for (std::size_t i = 0; i < logits.size(); ++i)
        if (logits[i] > -kInfinity) order.push_back(static_cast<int>(i));
    const auto logit = [&](int id) {
        return static_cast<double>(logits[static_cast<std::size_t>(id)]);
    };
    std::sort(order.begin(), order.end(),
              [&](int a, int b) { return logit(a) > logit(b) || (logit(a) == logit(b) && a < b); });
    if (options.top_k > 0 && order.size() > static_cast<std::size_t>(options.top_k))
        order.resize(static_cast<std::size_t>(options.top_k));
    std::vector<double> weights;
    double total = 0.0;
    for (const int id : order) {
        const double weight = std::exp((logit(id) - logit(order[0])) / options.temperature);
        if (weight < options.min_p) break;
        weights.push_back(weight);
        total += weight;
    }
    double kept = 0.0;
    std::size_t n = 0;
    while (n < weights.size() && (n == 0 || kept < options.top_p * total))
        kept += weights[n++];
    std::vector<double> result(logits.size(), 0.0);
    for (std::size_t i = 0; i < n; ++i)
        result[static_cast<std::size_t>(order[i])] = weights[i] / kept;
    return result;
}

// Draws and compares every frequency with its probability: within 5 standard deviations of the
// binomial, and exactly 0 where the probability is.
void check_frequencies(const std::vector<float>& logits, const SamplingOptions& options) {
    constexpr int kDraws = 40000;
    Sampler sampler(options, static_cast<int>(logits.size()));
    std::vector<int> counts(logits.size(), 0);
    for (int i = 0; i < kDraws; ++i)
        ++counts[static_cast<std::size_t>(sampler.draw(logits))];
    const std::vector<double> expected = probabilities(logits, options);
    for (std::size_t id = 0; id < logits.size(); ++id) {
        CAPTURE(id);
        const double p = expected[id];
        const double deviation = std::sqrt(kDraws * p * (1.0 - p));
        // One count of slack for the rounding of p itself.
        CHECK(std::abs(counts[id] - kDraws * p) <= (p == 0.0 ? 0.0 : 5.0 * deviation + 1.0));
    }
}

std::vector<float> normal_logits(std::size_t n, double deviation, std::uint64_t seed) {
    Random random(seed);
    std::vector<float> logits(n);
    for (float& logit : logits)
        logit = static_cast<float>(deviation * random.normal());
    return logits;
}

}  // namespace

TEST_CASE("temperature 0 takes the largest logit, the lowest id on ties") {
    Sampler sampler({.temperature = 0.0}, 5);
    CHECK(sampler.draw(std::vector<float>{1, 3, kNan, 3, 2}) == 1);
    CHECK(sampler.draw(std::vector<float>{-kInfinity, -1e4f, kNan, -1e4f, -2e4f}) == 1);
    CHECK(sampler.draw(std::vector<float>{0, 0, kInfinity, kInfinity, 2}) == 2);
}

TEST_CASE("token 0 is returned if no logit can be drawn") {
    const std::vector<float> logits{kNan, -kInfinity, kNan};
    CHECK(Sampler({.temperature = 0.0}, 3).draw(logits) == 0);
    CHECK(Sampler({.temperature = 1.0, .top_p = 0.5, .top_k = 2, .min_p = 0.1}, 3).draw(logits) ==
          0);
}

TEST_CASE("NaN and minus infinity are never drawn") {
    const std::vector<float> logits{kNan, 1, -kInfinity, 1, kNan};
    Sampler sampler({.temperature = 1.0}, 5);
    for (int i = 0; i < 1000; ++i)
        CHECK(sampler.draw(logits) % 2 == 1);
}

TEST_CASE("infinite logits share all probability") {
    check_frequencies({0, 1e4f, 5}, {.temperature = 0.7});
    Sampler sampler({.temperature = 1.0, .top_p = 0.9, .min_p = 0.1}, 3);
    int n_first = 0;
    const std::vector<float> logits{kInfinity, 3, kInfinity};
    for (int i = 0; i < 10000; ++i) {
        const int id = sampler.draw(logits);
        CHECK(id != 1);
        n_first += id == 0 ? 1 : 0;
    }
    CHECK(std::abs(n_first - 5000) <= 250);  // 5 x sqrt(10000 / 4)
}

TEST_CASE("large logits and extreme temperatures are drawn without overflow") {
    check_frequencies({1e4f, 1e4f - 1.0f, -1e4f, 9999.5f}, {.temperature = 1.0});
    check_frequencies({-1e4f, -1e4f - 1.0f, -9999.5f}, {.temperature = 0.5});
    check_frequencies({1e4f, -1e4f, 0.0f}, {.temperature = 100.0});
    check_frequencies({2.0f, 1.0f, 2.0f}, {.temperature = 1e-300});
    check_frequencies({3e38f, -3e38f, 3e38f}, {.temperature = 1.0});
}

TEST_CASE("frequencies match the exact probabilities") {
    const std::vector<float> logits = normal_logits(200, 2.0, 7);
    SUBCASE("temperature") {
        check_frequencies(logits, {.temperature = 1.0, .seed = 1});
    }
    SUBCASE("low temperature") {
        check_frequencies(logits, {.temperature = 0.3, .seed = 2});
    }
    SUBCASE("top_p") {
        check_frequencies(logits, {.temperature = 1.0, .top_p = 0.7, .seed = 3});
    }
    SUBCASE("top_k") {
        check_frequencies(logits, {.temperature = 1.0, .top_k = 10, .seed = 4});
    }
    SUBCASE("min_p") {
        check_frequencies(logits, {.temperature = 1.0, .min_p = 0.05, .seed = 5});
    }
    SUBCASE("all") {
        check_frequencies(
            logits, {.temperature = 1.5, .top_p = 0.8, .top_k = 50, .min_p = 0.02, .seed = 6});
    }
}

TEST_CASE("flat logits are cut in order of ids") {
    const std::vector<float> logits(64, 0.25f);
    check_frequencies(logits, {.temperature = 1.0, .top_p = 0.25, .seed = 1});
    check_frequencies(logits, {.temperature = 1.0, .top_k = 5, .seed = 2});
    check_frequencies(logits, {.temperature = 1.0, .min_p = 1.0, .seed = 3});
}

TEST_CASE("top_p keeps the smallest sufficient set over a whole vocabulary") {
    constexpr std::size_t kVocabSize = 163840;
    const std::vector<float> logits = normal_logits(kVocabSize, 3.0, 11);
    // Weights have a relative error below 1e-6, so the cut lies between these two sets.
    const std::vector<double> fewest =
        probabilities(logits, {.temperature = 1.0, .top_p = 0.3 - 2e-6});
    const std::vector<double> most =
        probabilities(logits, {.temperature = 1.0, .top_p = 0.3 + 2e-6});
    Sampler sampler({.temperature = 1.0, .top_p = 0.3}, static_cast<int>(kVocabSize));
    std::vector<bool> is_drawn(kVocabSize, false);
    for (int i = 0; i < 4000; ++i)
        is_drawn[static_cast<std::size_t>(sampler.draw(logits))] = true;
    for (std::size_t id = 0; id < kVocabSize; ++id) {
        CAPTURE(id);
        if (is_drawn[id]) CHECK(most[id] > 0.0);
        // Missed with a probability below e^-20.
        if (fewest[id] > 0.006) CHECK(is_drawn[id]);
    }
}

TEST_CASE("a large top_k selects as a small one does") {
    const std::vector<float> logits = normal_logits(5000, 1.0, 3);
    const std::vector<double> expected = probabilities(logits, {.temperature = 1.0, .top_k = 2000});
    Sampler sampler({.temperature = 1.0, .top_k = 2000}, 5000);
    for (int i = 0; i < 5000; ++i)
        CHECK(expected[static_cast<std::size_t>(sampler.draw(logits))] > 0.0);
}

TEST_CASE("a seed gives the same tokens, another seed others") {
    const std::vector<float> logits = normal_logits(1000, 1.0, 5);
    Sampler a({.temperature = 1.0, .top_p = 0.9, .seed = 42}, 1000);
    Sampler b({.temperature = 1.0, .top_p = 0.9, .seed = 42}, 1000);
    Sampler c({.temperature = 1.0, .top_p = 0.9, .seed = 43}, 1000);
    int n_different = 0;
    for (int i = 0; i < 100; ++i) {
        const int id = a.draw(logits);
        CHECK(id == b.draw(logits));
        n_different += id != c.draw(logits) ? 1 : 0;
    }
    CHECK(n_different > 50);
}

TEST_CASE("seeds keep giving the tokens that they gave") {
    // Recorded when options were temperature, top_p, top_k, min_p and seed only.
    const std::vector<float> logits = normal_logits(3000, 2.0, 9);
    const auto draws = [&](const SamplingOptions& options) {
        Sampler sampler(options, 3000);
        std::vector<int> ids(8);
        for (int& id : ids)
            id = sampler.draw(logits);
        return ids;
    };
    CHECK(draws({.temperature = 1.0, .seed = 17}) ==
          std::vector<int>{988, 1316, 2768, 1553, 1319, 1782, 549, 1003});
    CHECK(draws({.temperature = 0.6, .top_p = 0.9, .seed = 18}) ==
          std::vector<int>{897, 2937, 758, 2972, 2536, 1438, 92, 92});
    CHECK(draws({.temperature = 1.2, .top_p = 0.95, .top_k = 40, .min_p = 0.01, .seed = 19}) ==
          std::vector<int>{245, 1553, 2970, 2298, 1438, 2536, 1553, 1992});
    CHECK(draws({.temperature = 1.0, .top_k = 2000, .seed = 20}) ==
          std::vector<int>{1253, 270, 2744, 1854, 2338, 897, 2546, 2038});
}

TEST_CASE("a reset sampler draws as a new one does") {
    const std::vector<float> logits = normal_logits(1000, 1.0, 5);
    const SamplingOptions options{.temperature = 1.0, .seed = 6, .frequency_penalty = 2.0};
    Sampler used({.temperature = 0.7, .top_k = 3, .seed = 5, .repetition_penalty = 2.0}, 1000);
    used.note_prompt(std::vector<std::int32_t>{1, 2, 3});
    for (int i = 0; i < 20; ++i)
        used.accept(used.draw(logits));
    used.reset(options);
    Sampler fresh(options, 1000);
    for (int i = 0; i < 50; ++i) {
        const int id = fresh.draw(logits);
        CHECK(used.draw(logits) == id);
        fresh.accept(id);
        used.accept(id);
    }
}

TEST_CASE("drawing allocates nothing") {
    const std::vector<float> logits = normal_logits(20000, 2.0, 5);
    Sampler plain({.temperature = 1.0}, 20000);
    Sampler top_p({.temperature = 1.0, .top_p = 0.9}, 20000);
    Sampler top_k({.temperature = 1.0, .top_p = 0.9, .top_k = 40, .min_p = 0.01}, 20000);
    Sampler large_k({.temperature = 1.0, .top_k = 5000}, 20000);
    Sampler changed({.temperature = 1.0,
                     .presence_penalty = 1.0,
                     .repetition_penalty = 1.2,
                     .logit_bias = {{3, 1.0f}}},
                    20000);
    TokenMask allowed(20000);
    allowed.allow_all();
    const long before = n_allocations();
    for (int i = 0; i < 10; ++i) {
        changed.accept(changed.draw(logits, &allowed));
        changed.top_logprobs(Sampler::kTopLogprobs);
        plain.draw(logits);
        top_p.draw(logits);
        top_k.draw(logits);
        large_k.draw(logits);
    }
    const long after = n_allocations();
    CHECK(before > 0);
    CHECK(after == before);
}

TEST_CASE("options out of range are refused by name") {
    const double nan = std::numeric_limits<double>::quiet_NaN();
    CHECK_THROWS_WITH_AS(check_sampling_options({.temperature = -0.1}),
                         doctest::Contains("temperature"), Error);
    CHECK_THROWS_WITH_AS(check_sampling_options({.temperature = nan}),
                         doctest::Contains("temperature"), Error);
    CHECK_THROWS_WITH_AS(check_sampling_options({.temperature = HUGE_VAL}),
                         doctest::Contains("temperature"), Error);
    CHECK_THROWS_WITH_AS(check_sampling_options({.top_p = 1.1}), doctest::Contains("top_p"), Error);
    CHECK_THROWS_WITH_AS(check_sampling_options({.top_p = nan}), doctest::Contains("top_p"), Error);
    CHECK_THROWS_WITH_AS(check_sampling_options({.top_k = -1}), doctest::Contains("top_k"), Error);
    CHECK_THROWS_WITH_AS(check_sampling_options({.min_p = -1}), doctest::Contains("min_p"), Error);
    CHECK_THROWS_WITH_AS(check_sampling_options({.min_p = nan}), doctest::Contains("min_p"), Error);
    CHECK_NOTHROW(check_sampling_options({.temperature = 0.0, .top_p = 0.0}));
    CHECK_THROWS_WITH_AS(check_sampling_options({.presence_penalty = 2.1}),
                         doctest::Contains("presence_penalty"), Error);
    CHECK_THROWS_WITH_AS(check_sampling_options({.frequency_penalty = -2.1}),
                         doctest::Contains("frequency_penalty"), Error);
    CHECK_THROWS_WITH_AS(check_sampling_options({.repetition_penalty = 0.0}),
                         doctest::Contains("repetition_penalty"), Error);
    CHECK_THROWS_WITH_AS(check_sampling_options({.repetition_penalty = 10.5}),
                         doctest::Contains("repetition_penalty"), Error);
    CHECK_THROWS_WITH_AS(check_sampling_options({.repetition_penalty = nan}),
                         doctest::Contains("repetition_penalty"), Error);
    CHECK_THROWS_WITH_AS(check_sampling_options({.logit_bias = {{1, 100.5f}}}),
                         doctest::Contains("logit_bias"), Error);
    CHECK_THROWS_WITH_AS(check_sampling_options({.logit_bias = {{1, kNan}}}),
                         doctest::Contains("logit_bias"), Error);
    CHECK_THROWS_WITH_AS(check_sampling_options({.logit_bias = {{-1, 1.0f}}}),
                         doctest::Contains("-1"), Error);
    CHECK_NOTHROW(check_sampling_options({.presence_penalty = -2.0,
                                          .frequency_penalty = 2.0,
                                          .repetition_penalty = 10.0,
                                          .logit_bias = {{0, -100.0f}, {5, 100.0f}}}));
}

TEST_CASE("a reset that is refused leaves the sampler as it is") {
    Sampler sampler({.temperature = 0.0, .logit_bias = {{1, 5.0f}}}, 3);
    CHECK_THROWS_WITH_AS(sampler.reset({.logit_bias = {{3, 1.0f}}}),
                         doctest::Contains("token 3 is not in the vocabulary of 3"), Error);
    CHECK(sampler.draw(std::vector<float>{1, 0, 0}) == 1);
}
