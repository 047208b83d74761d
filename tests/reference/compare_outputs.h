#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace baltoro {

// Differences of rows, one per position: |actual - expected| / |expected| in the L2 norm. A row
// that is not finite counts as infinitely far.
struct RowDifferences {
    std::vector<double> per_row;
    double median = 0;
    double p90 = 0;
    double max = 0;
};

// Both are [rows, width]. Precondition: equal sizes, a multiple of `width`, at least one row.
RowDifferences compare_rows(std::span<const float> expected,
                            std::span<const float> actual,
                            std::size_t width);

// Share of (layer, token) pairs that chose the same set of experts; both are [pairs, k], in any
// order within a pair. 1 if there are none. Precondition: equal sizes, a multiple of `k`.
double share_of_equal_experts(std::span<const std::int32_t> expected,
                              std::span<const std::int32_t> actual,
                              std::size_t k);

// A greedy continuation to be followed token by token whatever the model under test prefers.
struct GreedyContinuation {
    std::vector<std::int32_t> prompt;
    std::vector<std::int32_t> continuation;
    std::vector<double> margin;  // of the expected token over the next best, in logits

    std::vector<std::int32_t> all_tokens() const;
};

struct GreedyAgreement {
    int n_clear = 0;  // positions with a margin above `least_margin`
    int n_equal = 0;  // of these, where the model prefers the expected token
};

// `logits` are [T, vocab_size] for all_tokens(), or for all but the last.
GreedyAgreement compare_greedy(const GreedyContinuation& expected,
                               std::span<const float> logits,
                               std::size_t vocab_size,
                               double least_margin = 0.5);

}  // namespace baltoro
