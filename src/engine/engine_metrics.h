#pragma once

#include <array>
#include <cstdint>

namespace baltoro {

// A Prometheus histogram: counts of values up to each bound (not cumulative), and their sum.
template <int kBounds>
struct Histogram {
    std::array<double, kBounds> bounds{};
    std::array<std::uint64_t, kBounds + 1> counts{};
    double sum = 0.0;

    void add(double value) noexcept {
        int i = 0;
        while (i < kBounds && value > bounds[static_cast<std::size_t>(i)])
            i++;
        counts[static_cast<std::size_t>(i)]++;
        sum += value;
    }
};

using LatencyHistogram = Histogram<14>;

// Bounds in seconds that serve both token gaps and long prefills.
LatencyHistogram latency_histogram();

// Counters since start and gauges of now; plain data.
struct EngineMetrics {
    int n_running = 0;
    int n_waiting = 0;
    int n_pages = 0;         // of the KV cache
    int n_pages_used = 0;    // by running answers
    int n_pages_cached = 0;  // kept for later prompts, free to be taken
    std::uint64_t cancelled_total = 0;
    std::uint64_t preemptions_total = 0;  // answers that gave their pages to older ones
    std::uint64_t prompt_tokens_total = 0;
    std::uint64_t cached_prompt_tokens_total = 0;
    std::uint64_t generation_tokens_total = 0;
    std::uint64_t steps_total = 0;
    std::uint64_t expert_bytes_read_total = 0;
    double prefill_tokens_per_second = 0.0;  // of the last prefill
    double decode_tokens_per_second = 0.0;   // of all answers in the last second of decoding
    LatencyHistogram time_to_first_token = latency_histogram();
    LatencyHistogram inter_token_latency = latency_histogram();
    LatencyHistogram e2e_request_latency = latency_histogram();
    LatencyHistogram queue_time = latency_histogram();
};

}  // namespace baltoro
