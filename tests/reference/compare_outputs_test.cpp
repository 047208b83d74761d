#include "tests/reference/compare_outputs.h"

#include <limits>
#include <vector>

#include <doctest/doctest.h>

using namespace baltoro;

TEST_CASE("row differences are relative to the expected row") {
    const std::vector<float> expected = {3, 4, 0, 2};
    const std::vector<float> actual = {3, 4.5f, 0, 2};
    const RowDifferences found = compare_rows(expected, actual, 2);
    CHECK(found.per_row == std::vector<double>{0.1, 0.0});
    CHECK(found.median == 0.1);  // of an even number: the upper one
    CHECK(found.max == 0.1);
}

TEST_CASE("the p90 of ten rows leaves out the largest but for the last tenth") {
    const std::vector<float> expected(20, 1.0f);
    std::vector<float> actual = expected;
    for (int i = 0; i < 20; ++i)
        actual[i] += static_cast<float>(i);
    const RowDifferences found = compare_rows(expected, actual, 1);
    CHECK(found.median == 10.0);
    CHECK(found.p90 == 18.0);
    CHECK(found.max == 19.0);
}

TEST_CASE("a row that is not a number is infinitely far") {
    const std::vector<float> expected = {1, 1};
    const std::vector<float> actual = {1, std::numeric_limits<float>::quiet_NaN()};
    CHECK(compare_rows(expected, actual, 2).max == std::numeric_limits<double>::infinity());
}

TEST_CASE("experts are compared as sets") {
    const std::vector<std::int32_t> expected = {1, 2, 3, 4, 5, 6, 7, 8};
    const std::vector<std::int32_t> actual = {2, 1, 3, 9, 5, 6, 8, 7};
    CHECK(share_of_equal_experts(expected, actual, 2) == 0.75);
}

TEST_CASE("greedy agreement follows the expected tokens and skips narrow margins") {
    const GreedyContinuation expected{
        .prompt = {0, 1}, .continuation = {2, 0, 1}, .margin = {1.0, 0.5, 0.6}};
    CHECK(expected.all_tokens() == std::vector<std::int32_t>{0, 1, 2, 0, 1});
    // Rows: after 0, after 1 (2 is right), after 2 (wrong, but narrow), after 0 (wrong).
    const std::vector<float> logits = {9, 0, 0, 0, 0, 9, 0, 0, 9, 9, 0, 0};
    const GreedyAgreement found = compare_greedy(expected, logits, 3);
    CHECK(found.n_clear == 2);
    CHECK(found.n_equal == 1);
}
