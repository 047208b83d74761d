#include "device/expert_choice.h"

#include <cmath>
#include <limits>
#include <vector>

#include <doctest/doctest.h>

using namespace baltoro::device;

namespace {

struct Chosen {
    std::vector<std::int32_t> ids;
    std::vector<float> gains;
};

Chosen choose(const ExpertChoice& rule, std::vector<float> logits, const std::vector<float>& bias) {
    Chosen chosen{std::vector<std::int32_t>(static_cast<std::size_t>(rule.top_k)),
                  std::vector<float>(static_cast<std::size_t>(rule.top_k))};
    std::vector<float> scratch(logits.size());
    choose_experts(rule, logits, bias.data(), scratch, chosen.ids.data(), chosen.gains.data());
    return chosen;
}

float sigmoid(float x) {
    return 1.0f / (1.0f + std::exp(-x));
}

}  // namespace

TEST_CASE("the bias decides the choice but not the gain") {
    const Chosen chosen =
        choose({2, 1, 1, false, 2.0f}, {1.0f, 3.0f, 2.0f, -1.0f}, {0.0f, 0.0f, 0.0f, 5.0f});
    CHECK(chosen.ids == std::vector<std::int32_t>{3, 1});
    CHECK(chosen.gains[0] == doctest::Approx(2.0f * sigmoid(-1.0f)));
    CHECK(chosen.gains[1] == doctest::Approx(2.0f * sigmoid(3.0f)));
}

TEST_CASE("normalised gains sum to the scaling factor") {
    const Chosen chosen =
        choose({3, 1, 1, true, 2.827f}, {0.3f, -2.0f, 1.0f, 0.7f}, {0.0f, 0.0f, 0.0f, 0.0f});
    CHECK(chosen.gains[0] + chosen.gains[1] + chosen.gains[2] == doctest::Approx(2.827f));
    CHECK(chosen.gains[0] / chosen.gains[1] == doctest::Approx(sigmoid(1.0f) / sigmoid(0.7f)));
}

TEST_CASE("ties go to the lower expert index") {
    CHECK(choose({3, 1, 1, true, 1.0f}, {0.5f, 0.5f, 0.5f, 0.5f}, {0, 0, 0, 0}).ids ==
          std::vector<std::int32_t>{0, 1, 2});
}

TEST_CASE("only experts of the best groups are chosen") {
    // Group scores: {0.9 + 0.1, 0.6 + 0.6}: the second group wins although the first has the best
    // expert.
    const auto logit = [](float p) { return std::log(p / (1.0f - p)); };
    const ExpertChoice rule{2, 2, 1, true, 1.0f};
    CHECK(choose(rule, {logit(0.9f), logit(0.1f), logit(0.6f), logit(0.6f)}, {0, 0, 0, 0}).ids ==
          std::vector<std::int32_t>{2, 3});
}

TEST_CASE("a dropped group loses even to negative scores") {
    const ExpertChoice rule{2, 2, 1, false, 1.0f};
    const Chosen chosen = choose(rule, {5.0f, 4.0f, -5.0f, -5.0f}, {-3.0f, -3.0f, -9.0f, -9.0f});
    CHECK(chosen.ids == std::vector<std::int32_t>{0, 1});
}

TEST_CASE("group ties go to the lower group") {
    const ExpertChoice rule{1, 4, 2, false, 1.0f};
    CHECK(choose(rule, std::vector<float>(8, 0.0f), std::vector<float>(8, 0.0f)).ids ==
          std::vector<std::int32_t>{0});
}

TEST_CASE("a NaN logit is chosen last") {
    const float nan = std::numeric_limits<float>::quiet_NaN();
    CHECK(choose({2, 1, 1, true, 1.0f}, {nan, -4.0f, -3.0f}, {0, 0, 0}).ids ==
          std::vector<std::int32_t>{2, 1});
}
