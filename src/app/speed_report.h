#pragma once

#include <cstdint>
#include <string>

#include "engine/generation.h"

namespace baltoro {

// What one answer (or a whole chat) took, against this machine's read bandwidth.
struct SpeedReport {
    int prefill_tokens = 0;
    double prefill_s = 0.0;
    int decode_tokens = 0;
    double decode_s = 0.0;
    std::size_t bytes_per_token = 0;  // weights read per decoded token
    double machine_read_bytes_per_s = 0.0;
    double load_s = 0.0;

    void add(const GenerationStats& stats) noexcept;
    double prefill_tok_s() const noexcept { return rate(prefill_tokens, prefill_s); }
    double decode_tok_s() const noexcept { return rate(decode_tokens, decode_s); }
    double read_gb_s() const noexcept {
        return decode_tok_s() * static_cast<double>(bytes_per_token) * 1e-9;
    }
    double percent_of_bandwidth() const noexcept;

  private:
    static double rate(int n, double seconds) noexcept { return seconds > 0.0 ? n / seconds : 0.0; }
};

// "prefill 12 tokens 301.2 tok/s, decode 63 tokens 36.20 tok/s, 0.583 GB/token, ..."
std::string speed_line(const SpeedReport& report);

// The same as a JSON object, with load_s and peak_rss_bytes of this process.
std::string speed_json(const SpeedReport& report);

}  // namespace baltoro
