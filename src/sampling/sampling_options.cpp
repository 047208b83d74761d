#include "sampling/sampling_options.h"

#include <string>

#include <fmt/format.h>

#include "base/error.h"

namespace baltoro {
namespace {

// Largest temperature that is accepted; far past any use.
constexpr double kMaxTemperature = 100.0;
constexpr double kMaxPenalty = 2.0;  // the OpenAI API's
constexpr double kMaxRepetitionPenalty = 10.0;
constexpr double kMaxBias = 100.0;  // the OpenAI API's

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
    check_range("presence_penalty", options.presence_penalty, -kMaxPenalty, kMaxPenalty);
    check_range("frequency_penalty", options.frequency_penalty, -kMaxPenalty, kMaxPenalty);
    check_range("repetition_penalty", options.repetition_penalty, 0.0, kMaxRepetitionPenalty);
    // As a float it divides logits, so it may not round to 0.
    if (options.repetition_penalty < 1e-3)
        throw Error(fmt::format("repetition_penalty: {} is below 0.001; 1 means none",
                                options.repetition_penalty));
    for (const auto& [id, bias] : options.logit_bias) {
        if (id < 0) throw Error(fmt::format("logit_bias: token {} is negative", id));
        check_range("logit_bias", static_cast<double>(bias), -kMaxBias, kMaxBias);
    }
}

}  // namespace baltoro
