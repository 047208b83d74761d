// Penalties, bias, mask and log-probabilities of the sampler.

#include <cmath>
#include <limits>
#include <vector>

#include <doctest/doctest.h>

#include "sampling/sampler.h"

using namespace baltoro;

namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

double log_sum_exp(const std::vector<float>& logits) {
    double largest = -HUGE_VAL;
    for (const float logit : logits)
        largest = std::fmax(largest, static_cast<double>(logit));
    double total = 0.0;
    for (const float logit : logits)
        if (!std::isnan(logit)) total += std::exp(static_cast<double>(logit) - largest);
    return largest + std::log(total);
}

TokenMask mask_of(std::size_t vocab_size, const std::vector<std::int32_t>& ids) {
    TokenMask mask(vocab_size);
    for (const std::int32_t id : ids)
        mask.allow(id);
    return mask;
}

}  // namespace

TEST_CASE("presence_penalty is subtracted once, however often a token occurs") {
    Sampler sampler({.temperature = 0.0, .presence_penalty = 1.0}, 3);
    sampler.accept(0);
    sampler.accept(0);
    CHECK(sampler.draw(std::vector<float>{3.0f, 1.9f, 0.0f}) == 0);
    CHECK(sampler.draw(std::vector<float>{3.0f, 2.1f, 0.0f}) == 1);
}

TEST_CASE("frequency_penalty is subtracted as often as a token occurs") {
    Sampler sampler({.temperature = 0.0, .frequency_penalty = 0.5}, 3);
    for (int i = 0; i < 3; ++i)
        sampler.accept(0);
    CHECK(sampler.draw(std::vector<float>{3.0f, 1.4f, 0.0f}) == 0);
    CHECK(sampler.draw(std::vector<float>{3.0f, 1.6f, 0.0f}) == 1);
}

TEST_CASE("negative penalties favour tokens that occur") {
    Sampler sampler({.temperature = 0.0, .presence_penalty = -2.0, .frequency_penalty = -1.0}, 3);
    sampler.accept(2);
    CHECK(sampler.draw(std::vector<float>{3.0f, 0.0f, 0.5f}) == 2);
}

TEST_CASE("presence and frequency look at the answer, not at the prompt") {
    Sampler sampler({.temperature = 0.0, .presence_penalty = 2.0, .frequency_penalty = 2.0}, 2);
    sampler.note_prompt(std::vector<std::int32_t>{0, 0, 0});
    CHECK(sampler.draw(std::vector<float>{1.0f, 0.0f}) == 0);
}

TEST_CASE("repetition_penalty divides positive and multiplies negative logits of what occurs") {
    Sampler sampler({.temperature = 0.0, .repetition_penalty = 2.0}, 3);
    sampler.note_prompt(std::vector<std::int32_t>{0, 0});
    sampler.accept(1);
    CHECK(sampler.draw(std::vector<float>{4.0f, 0.0f, 1.9f}) == 0);  // once, though it occurs twice
    CHECK(sampler.draw(std::vector<float>{4.0f, 0.0f, 2.1f}) == 2);
    CHECK(sampler.draw(std::vector<float>{-9.0f, -1.0f, -1.9f}) == 2);
    CHECK(sampler.draw(std::vector<float>{-9.0f, -1.0f, -2.1f}) == 1);
}

TEST_CASE("logit_bias is added after the penalties") {
    Sampler sampler({.temperature = 0.0,
                     .repetition_penalty = 10.0,
                     .logit_bias = {{1, 60.0f}, {1, 40.0f}, {2, -100.0f}}},
                    3);
    sampler.accept(1);
    // 1 / 10 + 100; a bias before the penalty would give 10.1.
    CHECK(sampler.draw(std::vector<float>{100.0f, 1.0f, 150.0f}) == 1);
    CHECK(sampler.draw(std::vector<float>{100.2f, 1.0f, 150.0f}) == 0);
}

TEST_CASE("penalties leave NaN and infinities in place") {
    Sampler sampler(
        {.temperature = 1.0, .presence_penalty = 2.0, .logit_bias = {{0, 100.0f}, {1, 100.0f}}}, 3);
    for (std::int32_t id = 0; id < 3; ++id)
        sampler.accept(id);
    for (int i = 0; i < 100; ++i)
        CHECK(sampler.draw(std::vector<float>{kNan, -kInfinity, -50.0f}) == 2);
}

TEST_CASE("only allowed tokens are drawn") {
    const std::vector<float> logits(200, 0.0f);
    const TokenMask allowed = mask_of(200, {3, 64, 127, 199});
    Sampler sampler({.temperature = 1.0, .logit_bias = {{0, 100.0f}}}, 200);
    std::vector<int> counts(200, 0);
    for (int i = 0; i < 4000; ++i)
        ++counts[static_cast<std::size_t>(sampler.draw(logits, &allowed))];
    // 5 deviations of the binomial: 5 x sqrt(4000 x 3 / 16).
    for (const std::size_t id : {3, 64, 127, 199}) {
        CAPTURE(id);
        CHECK(std::abs(counts[id] - 1000) <= 137);
    }
    CHECK(counts[3] + counts[64] + counts[127] + counts[199] == 4000);
}

TEST_CASE("top_k and top_p are taken among the allowed tokens") {
    const std::vector<float> logits{9, 8, 7, 6, 5};
    const TokenMask allowed = mask_of(5, {3, 4});
    Sampler first({.temperature = 1.0, .top_k = 1}, 5);
    CHECK(first.draw(logits, &allowed) == 3);
    Sampler nucleus({.temperature = 1.0, .top_p = 0.5}, 5);
    CHECK(nucleus.draw(logits, &allowed) == 3);
}

TEST_CASE("the lowest allowed token is returned if none of them can be drawn") {
    const std::vector<float> logits(100, -kInfinity);
    Sampler sampler({.temperature = 1.0}, 100);
    const TokenMask some = mask_of(100, {70, 90});
    CHECK(sampler.draw(logits, &some) == 70);
    const TokenMask none(100);
    CHECK(sampler.draw(logits, &none) == 0);
}

TEST_CASE("a mask of all tokens changes no draw") {
    Random random(3);
    std::vector<float> logits(500);
    for (float& logit : logits)
        logit = static_cast<float>(2.0 * random.normal());
    TokenMask all(500);
    all.allow_all();
    Sampler plain({.temperature = 1.0, .seed = 4}, 500);
    Sampler masked({.temperature = 1.0, .seed = 4}, 500);
    for (int i = 0; i < 50; ++i)
        CHECK(masked.draw(logits, &all) == plain.draw(logits));
}

TEST_CASE("log-probabilities are those of the raw logits") {
    Random random(8);
    std::vector<float> logits(1000);
    for (float& logit : logits)
        logit = static_cast<float>(3.0 * random.normal());
    logits[17] = kNan;
    Sampler sampler(
        {.temperature = 0.3, .top_k = 5, .presence_penalty = 2.0, .logit_bias = {{4, 90.0f}}},
        1000);
    sampler.accept(4);
    const TokenMask allowed = mask_of(1000, {4, 5});
    sampler.draw(logits, &allowed);
    const double total = log_sum_exp(logits);
    for (const std::int32_t id : {0, 4, 500, 999}) {
        CAPTURE(id);
        const double expected = static_cast<double>(logits[static_cast<std::size_t>(id)]) - total;
        // The exponential's relative error of 1e-6 and the rounding of floats below 32.
        CHECK(std::abs(static_cast<double>(sampler.logprob_of(id)) - expected) <= 1e-6 + 4e-6);
    }
    CHECK(sampler.logprob_of(17) == -kInfinity);
}

TEST_CASE("the likeliest tokens come in order, lower ids first on ties") {
    const std::vector<float> logits{1, 3, kNan, 3, -kInfinity, 2};
    Sampler sampler({.temperature = 0.0}, 6);
    sampler.draw(logits);
    const auto top = sampler.top_logprobs(3);
    REQUIRE(top.size() == 3);
    CHECK(top[0].first == 1);
    CHECK(top[1].first == 3);
    CHECK(top[2].first == 5);
    CHECK(top[0].second == top[1].second);
    CHECK(std::abs(top[0].second - top[2].second - 1.0f) <= 1e-6f);
    CHECK(sampler.top_logprobs(0).empty());
    CHECK(sampler.top_logprobs(6).size() == 4);  // two have no probability
}

TEST_CASE("log-probabilities follow the next draw's logits") {
    Sampler sampler({.temperature = 0.0}, 2);
    const std::vector<float> even{0, 0};
    sampler.draw(even);
    CHECK(std::abs(sampler.logprob_of(1) - std::log(0.5f)) <= 1e-6f);
    const std::vector<float> certain{0, 1000};
    sampler.draw(certain);
    CHECK(sampler.logprob_of(1) == 0.0f);
    CHECK(sampler.logprob_of(0) == -1000.0f);
}
