#include "tests/reference/compare_outputs.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/check.h"

namespace baltoro {
namespace {

double relative_difference(std::span<const float> expected, std::span<const float> actual) {
    double difference = 0;
    double size = 0;
    for (std::size_t i = 0; i < expected.size(); ++i) {
        const double e = static_cast<double>(expected[i]);
        const double d = static_cast<double>(actual[i]) - e;
        difference += d * d;
        size += e * e;
    }
    if (difference == 0) return 0;
    const double relative = std::sqrt(difference / size);
    return std::isfinite(relative) ? relative : std::numeric_limits<double>::infinity();
}

std::vector<std::int32_t> sorted(std::span<const std::int32_t> values) {
    std::vector<std::int32_t> copy(values.begin(), values.end());
    std::ranges::sort(copy);
    return copy;
}

}  // namespace

RowDifferences compare_rows(std::span<const float> expected,
                            std::span<const float> actual,
                            std::size_t width) {
    check(expected.size() == actual.size(), "outputs of the same shape are compared");
    check(width > 0 && !expected.empty() && expected.size() % width == 0, "outputs are whole rows");
    RowDifferences result;
    for (std::size_t i = 0; i < expected.size(); i += width) {
        result.per_row.push_back(
            relative_difference(expected.subspan(i, width), actual.subspan(i, width)));
    }
    std::vector<double> ordered = result.per_row;
    std::ranges::sort(ordered);
    result.median = ordered[ordered.size() / 2];
    result.p90 = ordered[ordered.size() * 9 / 10];
    result.max = ordered.back();
    return result;
}

double share_of_equal_experts(std::span<const std::int32_t> expected,
                              std::span<const std::int32_t> actual,
                              std::size_t k) {
    check(expected.size() == actual.size(), "choices of the same shape are compared");
    check(k > 0 && expected.size() % k == 0, "every token chooses k experts");
    if (expected.empty()) return 1;
    std::size_t n_equal = 0;
    for (std::size_t i = 0; i < expected.size(); i += k)
        n_equal += sorted(expected.subspan(i, k)) == sorted(actual.subspan(i, k)) ? 1 : 0;
    return static_cast<double>(n_equal) / static_cast<double>(expected.size() / k);
}

std::vector<std::int32_t> GreedyContinuation::all_tokens() const {
    std::vector<std::int32_t> tokens = prompt;
    tokens.insert(tokens.end(), continuation.begin(), continuation.end());
    return tokens;
}

GreedyAgreement compare_greedy(const GreedyContinuation& expected,
                               std::span<const float> logits,
                               std::size_t vocab_size,
                               double least_margin) {
    const std::size_t n_prompt = expected.prompt.size();
    const std::size_t n_new = expected.continuation.size();
    check(n_prompt > 0 && expected.margin.size() == n_new, "a margin belongs to every token");
    check(logits.size() >= (n_prompt + n_new - 1) * vocab_size, "logits cover the continuation");
    GreedyAgreement agreement;
    for (std::size_t i = 0; i < n_new; ++i) {
        if (!(expected.margin[i] > least_margin)) continue;
        const auto row = logits.subspan((n_prompt - 1 + i) * vocab_size, vocab_size);
        const auto best = std::ranges::max_element(row) - row.begin();
        ++agreement.n_clear;
        if (best == expected.continuation[i]) ++agreement.n_equal;
    }
    return agreement;
}

}  // namespace baltoro
