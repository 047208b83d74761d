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

// Bits 0 to n-1.
std::uint64_t low_bits(std::size_t n) noexcept {
    return n < 64 ? (std::uint64_t{1} << n) - 1 : ~std::uint64_t{0};
}

// Sets what the mask does not allow to -inf.
void apply_mask(std::span<float> logits, const TokenMask& allowed) noexcept {
    const std::span<const std::uint64_t> words = allowed.words();
    for (std::size_t w = 0; w < words.size(); ++w) {
        const std::span<float> part =
            logits.subspan(64 * w, std::min<std::size_t>(64, logits.size() - 64 * w));
        if (words[w] == 0) {
            std::fill(part.begin(), part.end(), kNegativeInfinity);
            continue;
        }
        for (std::uint64_t rest = ~words[w] & low_bits(part.size()); rest != 0; rest &= rest - 1)
            part[static_cast<std::size_t>(std::countr_zero(rest))] = kNegativeInfinity;
    }
}

// The lowest token that the mask allows; 0 without a mask and if it allows none.
std::int32_t lowest_allowed(const TokenMask* allowed) noexcept {
    if (allowed == nullptr) return 0;
    const std::span<const std::uint64_t> words = allowed->words();
    for (std::size_t w = 0; w < words.size(); ++w)
        if (words[w] != 0) return static_cast<std::int32_t>(64 * w) + std::countr_zero(words[w]);
    return 0;
}

}  // namespace

Sampler::Sampler(const SamplingOptions& options, int vocab_size)
    : random_(options.seed),
      vocab_size_(static_cast<std::size_t>(vocab_size)),
      candidates_(vocab_size_ + 1),  // one more, where compaction writes what it drops
      changed_(vocab_size_),
      seen_(vocab_size_) {
    check(vocab_size > 0, "a vocabulary has tokens");
    top_.reserve(kTopLogprobs);
    reset(options);
}

void Sampler::reset(const SamplingOptions& options) {
    check_sampling_options(options);
    for (const auto& [id, bias] : options.logit_bias) {
        if (static_cast<std::size_t>(id) >= vocab_size_)
            throw Error("logit_bias: token " + std::to_string(id) +
                        " is not in the vocabulary of " + std::to_string(vocab_size_));
    }
    options_ = options;
    random_ = Random(options.seed);
    has_penalties_ = options.presence_penalty != 0.0 || options.frequency_penalty != 0.0 ||
                     options.repetition_penalty != 1.0;
    seen_.forget_all();
    last_logits_ = {};
}

void Sampler::note_prompt(std::span<const std::int32_t> ids) noexcept {
    if (!has_penalties_) return;
    for (const std::int32_t id : ids)
        seen_.note_in_prompt(id);
}

void Sampler::accept(std::int32_t id) noexcept {
    if (has_penalties_) seen_.note_in_answer(id);
}

void Sampler::look_at(std::span<const float> logits) noexcept {
    check(logits.size() == vocab_size_, "there is one logit per token");
    last_logits_ = logits;
    has_log_total_ = false;
}

std::int32_t Sampler::draw(std::span<const float> logits, const TokenMask* allowed) {
    look_at(logits);
    if (allowed != nullptr || has_penalties_ || !options_.logit_bias.empty())
        logits = change(logits, allowed);
    const float largest = largest_of(logits);
    if (largest == kNegativeInfinity) return lowest_allowed(allowed);
    if (options_.temperature == 0.0) {
        const auto first = std::find(logits.begin(), logits.end(), largest);
        return static_cast<std::int32_t>(first - logits.begin());
    }
    std::span<Candidate> kept =
        weigh(take_top_k(logits, static_cast<std::size_t>(options_.top_k)), largest);
    if (options_.top_p < 1.0) kept = take_top_p(kept);
    return draw_by_weight(kept);
}

std::span<const float> Sampler::change(std::span<const float> logits,
                                       const TokenMask* allowed) noexcept {
    std::copy(logits.begin(), logits.end(), changed_.begin());
    const auto repetition = static_cast<float>(options_.repetition_penalty);
    for (const std::int32_t id : seen_.ids()) {
        float& logit = changed_[static_cast<std::size_t>(id)];
        logit = logit > 0.0f ? logit / repetition : logit * repetition;
        const std::uint32_t n = seen_.n_in_answer(id);
        if (n > 0)
            logit -= static_cast<float>(options_.presence_penalty + n * options_.frequency_penalty);
    }
    for (const auto& [id, bias] : options_.logit_bias)
        changed_[static_cast<std::size_t>(id)] += bias;
    if (allowed != nullptr) {
        check(allowed->vocab_size() == vocab_size_, "the mask has a bit per token");
        apply_mask(changed_, *allowed);
    }
    return changed_;
}

float Sampler::logprob_of(std::int32_t id) noexcept {
    check(last_logits_.size() == vocab_size_, "log-probabilities are those of a draw");
    log_total();
    const float logit = last_logits_[static_cast<std::size_t>(id)];
    if (!(logit > kNegativeInfinity)) return kNegativeInfinity;
    const float difference = logit == largest_ ? 0.0f : logit - largest_;
    return static_cast<float>(static_cast<double>(difference) - log_total_);
}

std::span<const std::pair<std::int32_t, float>> Sampler::top_logprobs(std::size_t n) {
    check(last_logits_.size() == vocab_size_, "log-probabilities are those of a draw");
    top_.clear();
    if (n == 0) return top_;  // to take_top_k it would mean all
    const std::span<Candidate> best = take_top_k(last_logits_, n);
    std::sort(best.begin(), best.end(), is_before);
    for (const Candidate& candidate : best)
        top_.emplace_back(candidate.id, logprob_of(candidate.id));
    return top_;
}

void Sampler::log_total() noexcept {
    if (has_log_total_) return;
    has_log_total_ = true;
    largest_ = largest_of(last_logits_);
    std::array<float, kBlock> weights{};
    double total = 0.0;
    for (std::size_t i = 0; i < last_logits_.size(); i += kBlock) {
        const std::size_t n = std::min(kBlock, last_logits_.size() - i);
        weights.fill(kNegativeInfinity);
        for (std::size_t k = 0; k < n; ++k)
            weights[k] = last_logits_[i + k];
        for (std::size_t k = 0; k < kBlock; ++k)
            weights[k] = weight_of_exponent(weights[k] == largest_ ? 0.0f : weights[k] - largest_);
        // Fewer than 2^6 floats lose less than the exponential's own error.
        float block_total = 0.0f;
        for (std::size_t k = 0; k < n; ++k)
            block_total += weights[k];
        total += static_cast<double>(block_total);
    }
    log_total_ = std::log(total);
}

std::span<Sampler::Candidate> Sampler::take_top_k(std::span<const float> logits,
                                                  std::size_t k) noexcept {
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
