#include "sampling/sampler.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>
#include <numeric>
#include <string>

#include "base/check.h"
#include "base/error.h"

namespace baltoro {
namespace {

constexpr float kNegativeInfinity = -std::numeric_limits<float>::infinity();

// Largest temperature that is accepted; far past any use.
constexpr double kMaxTemperature = 100.0;

// Weights below e^-50 count as 0. All of a vocabulary of 2^19 together they are below 2^-53, the
// step of the uniform number that is compared with them.
constexpr float kLowestExponent = -50.0f;

// Up to here a heap of the best costs less than a selection over all.
constexpr std::size_t kMaxHeap = 1024;

// Loops over blocks of this constant size are vectorised for the baseline instruction set.
constexpr std::size_t kBlock = 64;

// The largest logit; NaN is never larger.
float largest_of(std::span<const float> logits) noexcept {
    std::array<float, kBlock> lanes;
    lanes.fill(kNegativeInfinity);
    std::size_t i = 0;
    for (; i + kBlock <= logits.size(); i += kBlock)
        for (std::size_t k = 0; k < kBlock; ++k)
            lanes[k] = logits[i + k] > lanes[k] ? logits[i + k] : lanes[k];
    float largest = *std::max_element(lanes.begin(), lanes.end());
    for (; i < logits.size(); ++i)
        largest = logits[i] > largest ? logits[i] : largest;
    return largest;
}

// e^x for x in [-50, 0], relative error below 1e-6; 0 below, and for NaN. Unlike std::exp it
// vectorises: a draw with top_p takes 0.60 ms, without vectorising 1.0 (EPYC, Zen 4;
// sampler_bench).
float weight_of_exponent(float x) noexcept {
    const bool is_counted = x >= kLowestExponent;
    const float bounded = is_counted ? x : 0.0f;
    constexpr float kRoundingShift = 12582912.0f;  // 1.5 x 2^23: adding it rounds to an integer
    const float shifted = bounded * 1.44269504f + kRoundingShift;
    const float n = shifted - kRoundingShift;
    const float r = (bounded - n * 0.693359375f) + n * 2.12194440e-4f;  // ln 2 in two parts
    // Taylor to r^6, |r| <= 0.347: the next term is below 1.3e-7.
    float e = 1.0f / 720.0f;
    e = e * r + 1.0f / 120.0f;
    e = e * r + 1.0f / 24.0f;
    e = e * r + 1.0f / 6.0f;
    e = e * r + 0.5f;
    e = e * r + 1.0f;
    e = e * r + 1.0f;
    const auto power = std::bit_cast<std::uint32_t>(shifted) << 23;  // n, in the exponent's place
    const float weight = std::bit_cast<float>(std::bit_cast<std::uint32_t>(e) + power);
    return is_counted ? weight : 0.0f;
}

void check_range(const char* name, double value, double low, double high) {
    if (value >= low && value <= high) return;
    throw Error(std::string(name) + ": " + std::to_string(value) + " is not in " +
                std::to_string(low) + " to " + std::to_string(high));
}

}  // namespace

void check_sampling_options(const SamplingOptions& options) {
    check_range("temperature", options.temperature, 0.0, kMaxTemperature);
    check_range("top_p", options.top_p, 0.0, 1.0);
    check_range("min_p", options.min_p, 0.0, 1.0);
    if (options.top_k < 0)
        throw Error("top_k: " + std::to_string(options.top_k) + " is negative; 0 means all");
}

Sampler::Sampler(const SamplingOptions& options, int vocab_size)
    : options_(options),
      random_(options.seed),
      vocab_size_(static_cast<std::size_t>(vocab_size)),
      candidates_(vocab_size_ + 1) {  // one more, where compaction writes what it drops
    check_sampling_options(options);
    check(vocab_size > 0, "a vocabulary has tokens");
}

std::int32_t Sampler::draw(std::span<const float> logits) {
    check(logits.size() == vocab_size_, "there is one logit per token");
    const float largest = largest_of(logits);
    if (largest == kNegativeInfinity) return 0;
    if (options_.temperature == 0.0) {
        const auto first = std::find(logits.begin(), logits.end(), largest);
        return static_cast<std::int32_t>(first - logits.begin());
    }
    std::span<Candidate> kept = weigh(take_top_k(logits), largest);
    if (options_.top_p < 1.0) kept = take_top_p(kept);
    return draw_by_weight(kept);
}

std::span<Sampler::Candidate> Sampler::take_top_k(std::span<const float> logits) noexcept {
    const auto k = static_cast<std::size_t>(options_.top_k);
    const auto begin = candidates_.begin();
    std::size_t n = 0;
    if (k > 0 && k <= kMaxHeap) {
        // The heap's front is the last of the best k so far; few tokens get past it.
        for (std::size_t i = 0; i < logits.size(); ++i) {
            if (!(logits[i] > (n < k ? kNegativeInfinity : candidates_[0].value))) continue;
            if (n == k) std::pop_heap(begin, begin + static_cast<std::ptrdiff_t>(n--), is_before);
            candidates_[n++] = {logits[i], static_cast<std::int32_t>(i)};
            std::push_heap(begin, begin + static_cast<std::ptrdiff_t>(n), is_before);
        }
        return {candidates_.data(), n};
    }
    for (std::size_t i = 0; i < logits.size(); ++i) {
        candidates_[n] = {logits[i], static_cast<std::int32_t>(i)};
        n += logits[i] > kNegativeInfinity ? 1 : 0;
    }
    if (k > 0 && n > k) {
        const auto end = begin + static_cast<std::ptrdiff_t>(n);
        std::nth_element(begin, begin + static_cast<std::ptrdiff_t>(k), end, is_before);
        n = k;
    }
    return {candidates_.data(), n};
}

std::span<Sampler::Candidate> Sampler::weigh(std::span<Candidate> candidates,
                                             float largest) noexcept {
    // Bounded, so that the largest logit's difference of 0 stays 0 at any temperature.
    const auto inverse_temperature = static_cast<float>(std::min(1.0 / options_.temperature, 1e30));
    const float min_weight =
        std::max(static_cast<float>(options_.min_p), std::numeric_limits<float>::min());
    std::array<float, kBlock> weights{};
    std::size_t n = 0;
    for (std::size_t i = 0; i < candidates.size(); i += kBlock) {
        const std::size_t n_block = std::min(kBlock, candidates.size() - i);
        for (std::size_t k = 0; k < n_block; ++k)
            weights[k] = candidates[i + k].value;
        for (std::size_t k = 0; k < kBlock; ++k) {
            // Infinity has no difference from itself.
            const float difference = weights[k] == largest ? 0.0f : weights[k] - largest;
            weights[k] = weight_of_exponent(difference * inverse_temperature);
        }
        for (std::size_t k = 0; k < n_block; ++k) {
            candidates[n] = {weights[k], candidates[i + k].id};
            n += weights[k] >= min_weight ? 1 : 0;
        }
    }
    return candidates.first(n);
}

std::span<Sampler::Candidate> Sampler::take_top_p(std::span<Candidate> candidates) noexcept {
    // A histogram of the weights' binary exponents finds the tokens that can be at the cut: those
    // of larger weights are all in, those of smaller ones all out.
    std::array<double, kExponents> mass{};
    for (const Candidate& candidate : candidates)
        mass[exponent_of(candidate.value)] += static_cast<double>(candidate.value);
    double wanted = options_.top_p * std::accumulate(mass.begin(), mass.end(), 0.0);
    std::size_t cut = 0;
    while (cut + 1 < kExponents && mass[cut] < wanted)
        wanted -= mass[cut++];
    std::size_t n = 0;
    for (const Candidate& candidate : candidates)
        if (exponent_of(candidate.value) <= cut) candidates[n++] = candidate;
    candidates = candidates.first(n);
    auto low = std::partition(candidates.begin(), candidates.end(),
                              [cut](const Candidate& c) { return exponent_of(c.value) < cut; });
    auto high = candidates.end();
    // The shortest prefix, in order, whose weight reaches `wanted`; it has at least one token.
    while (high - low > 1) {
        const auto middle = low + (high - low) / 2;
        std::nth_element(low, middle, high, is_before);
        double upper = 0.0;
        for (auto i = low; i != middle; ++i)
            upper += static_cast<double>(i->value);
        if (upper >= wanted) {
            high = middle;
        } else {
            wanted -= upper;
            low = middle;
        }
    }
    return candidates.first(static_cast<std::size_t>(high - candidates.begin()));
}

std::int32_t Sampler::draw_by_weight(std::span<const Candidate> candidates) noexcept {
    double total = 0.0;
    for (const Candidate& candidate : candidates)
        total += static_cast<double>(candidate.value);
    double rest = random_.uniform() * total;
    for (const Candidate& candidate : candidates) {
        rest -= static_cast<double>(candidate.value);
        if (rest < 0.0) return candidate.id;
    }
    return candidates.back().id;  // rounding left a rest
}

}  // namespace baltoro
