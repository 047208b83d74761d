#include "server/openai_options.h"

#include <algorithm>
#include <charconv>
#include <limits>
#include <random>
#include <string>
#include <utility>

#include <fmt/format.h>

namespace baltoro::server {
namespace {

constexpr std::int64_t kMaxInt32 = std::numeric_limits<std::int32_t>::max();
constexpr std::int64_t kMaxInt64 = std::numeric_limits<std::int64_t>::max();
constexpr std::size_t kMaxModelBytes = 256;  // it is repeated in every chunk
constexpr std::size_t kMaxStops = 16;
constexpr std::size_t kMaxStopBytes = 1024;  // text that may be a stop is held back meanwhile
constexpr std::size_t kMaxBiases = 1024;

void read_stream(const Fields& body, ApiRequest& request) {
    request.stream = body.boolean("stream").value_or(false);
    if (const std::optional<Fields> options = body.object("stream_options"))
        request.include_usage = options->boolean("include_usage").value_or(false);
}

std::int64_t most_tokens(const ApiLimits& limits) {
    return limits.context_size > 0 ? limits.context_size : kMaxInt32;
}

void read_lengths(const Fields& body, const ApiLimits& limits, int fewest, Request& request) {
    const std::int64_t most = most_tokens(limits);
    const std::optional<int> old_limit = read_token_limit(body, "max_tokens", limits, fewest);
    const std::optional<int> limit =
        read_token_limit(body, "max_completion_tokens", limits, fewest);
    request.max_tokens =
        limit && old_limit ? std::min(*limit, *old_limit) : limit.value_or(old_limit.value_or(0));
    request.prompt_only = (limit || old_limit) && request.max_tokens == 0;
    const std::int64_t min_tokens = body.integer("min_tokens", 0, kMaxInt64).value_or(0);
    request.min_tokens = static_cast<int>(std::min(min_tokens, most));
    request.ignore_eos = body.boolean("ignore_eos").value_or(false);
}

std::string stop_text(const Field& field) {
    const std::string& text = field.string();
    if (text.empty()) field.refuse("must not be empty");
    if (text.size() > kMaxStopBytes)
        field.refuse(fmt::format("must have at most {} bytes", kMaxStopBytes));
    return text;
}

void read_logit_bias(const Fields& body, const ApiLimits& limits, SamplingOptions& sampling) {
    const std::optional<Field> biases = body.find("logit_bias");
    if (!biases) return;
    (void)biases->object();
    if (biases->json().size() > kMaxBiases)
        biases->refuse(fmt::format("must have at most {} entries", kMaxBiases));
    for (const auto& [key, value] : biases->json().items()) {
        std::int32_t id = -1;
        const char* end = key.data() + key.size();
        const auto [rest, failure] = std::from_chars(key.data(), end, id);
        const bool is_number = failure == std::errc() && rest == end && !key.empty();
        if (!is_number || id < 0 || id >= limits.vocab_size)
            biases->refuse("must have token ids of the vocabulary as keys");
        // The key comes from the request, so it is no part of the name.
        const double bias = Field(value, "logit_bias").number(-100, 100);
        sampling.logit_bias.emplace_back(id, static_cast<float>(bias));
    }
}

void read_sampling(const Fields& body, const ApiLimits& limits, SamplingOptions& sampling) {
    sampling.temperature = body.number("temperature", 0, 2).value_or(limits.temperature);
    sampling.top_p = body.number("top_p", 0, 1).value_or(limits.top_p);
    // vLLM's clients say -1 for all.
    const std::int64_t top_k = body.integer("top_k", -1, kMaxInt32).value_or(limits.top_k);
    sampling.top_k = static_cast<int>(std::max<std::int64_t>(top_k, 0));
    sampling.min_p = body.number("min_p", 0, 1).value_or(0);
    sampling.presence_penalty = body.number("presence_penalty", -2, 2).value_or(0);
    sampling.frequency_penalty = body.number("frequency_penalty", -2, 2).value_or(0);
    sampling.repetition_penalty = body.number("repetition_penalty", 0.001, 10).value_or(1);
    read_logit_bias(body, limits, sampling);
    const std::optional<std::int64_t> seed = body.integer("seed", -kMaxInt64 - 1, kMaxInt64);
    if (seed) {
        sampling.seed = static_cast<std::uint64_t>(*seed);
    } else {
        sampling.seed = random_seed();
    }
}

}  // namespace

void read_model(const Fields& body, const ApiLimits& limits, ApiRequest& request) {
    request.system_fingerprint = limits.system_fingerprint;
    request.model = limits.served_model;
    const std::optional<Field> model = body.find("model");
    if (!model) return;
    if (model->string().size() > kMaxModelBytes)
        model->refuse(fmt::format("must have at most {} bytes", kMaxModelBytes));
    request.model = model->string();
    if (!limits.strict_model || request.model == limits.served_model) return;
    ApiError error;
    error.status = 404;
    error.code = "model_not_found";
    error.param = "model";
    error.message = "The model does not exist; GET /v1/models lists the one that is served.";
    throw RequestError(std::move(error));
}

void read_stop_texts(const Fields& body, std::string_view key, Request& request) {
    const std::optional<Field> stop = body.find(key);
    if (!stop) return;
    if (stop->is_string()) {
        request.stop.push_back(stop_text(*stop));
        return;
    }
    if (!stop->is_array()) stop->refuse("must be a string or an array of strings");
    for (const Field& text : stop->array(kMaxStops))
        request.stop.push_back(stop_text(text));
}

std::optional<int> read_token_limit(const Fields& body,
                                    std::string_view key,
                                    const ApiLimits& limits,
                                    int fewest) {
    const std::optional<std::int64_t> wanted = body.integer(key, fewest, kMaxInt64);
    if (!wanted) return std::nullopt;
    return static_cast<int>(std::min(*wanted, most_tokens(limits)));
}

std::uint64_t random_seed() {
    std::random_device entropy;
    return std::uint64_t{entropy()} << 32 | entropy();
}

void read_openai_options(const Fields& body,
                         const ApiLimits& limits,
                         ApiRequest& request,
                         int fewest_tokens) {
    read_model(body, limits, request);
    read_stream(body, request);
    read_lengths(body, limits, fewest_tokens, request.request);
    read_stop_texts(body, "stop", request.request);
    read_sampling(body, limits, request.request.sampling);
    request.n = static_cast<int>(body.integer("n", 1, kMaxChoices).value_or(1));
}

}  // namespace baltoro::server
