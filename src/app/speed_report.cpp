#include "app/speed_report.h"

#include <sys/resource.h>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace baltoro {

void SpeedReport::add(const GenerationStats& stats) noexcept {
    prefill_tokens += stats.prefill_tokens;
    prefill_s += stats.prefill_s;
    decode_tokens += stats.decode_tokens;
    decode_s += stats.decode_s;
}

double SpeedReport::percent_of_bandwidth() const noexcept {
    return machine_read_bytes_per_s > 0.0 ? 100.0 * read_gb_s() * 1e9 / machine_read_bytes_per_s
                                          : 0.0;
}

std::string speed_line(const SpeedReport& report) {
    return fmt::format(
        "prefill {} tokens {:.1f} tok/s, decode {} tokens {:.2f} tok/s, {:.3f} GB/token, {:.1f} "
        "GB/s = {:.0f} % of the "
        "{:.1f} GB/s this machine reads",
        report.prefill_tokens, report.prefill_tok_s(), report.decode_tokens, report.decode_tok_s(),
        static_cast<double>(report.bytes_per_token) * 1e-9, report.read_gb_s(),
        report.percent_of_bandwidth(), report.machine_read_bytes_per_s * 1e-9);
}

std::string speed_json(const SpeedReport& report) {
    struct rusage usage {};
    getrusage(RUSAGE_SELF, &usage);
    const nlohmann::ordered_json json = {
        {"prefill_tokens", report.prefill_tokens},
        {"prefill_tok_s", report.prefill_tok_s()},
        {"decode_tokens", report.decode_tokens},
        {"decode_tok_s", report.decode_tok_s()},
        {"bytes_per_token", report.bytes_per_token},
        {"read_gb_s", report.read_gb_s()},
        {"machine_read_gb_s", report.machine_read_bytes_per_s * 1e-9},
        {"percent_of_bandwidth", report.percent_of_bandwidth()},
        {"load_s", report.load_s},
        {"peak_rss_bytes", static_cast<std::int64_t>(usage.ru_maxrss) * 1024},
    };
    return json.dump(2) + "\n";
}

}  // namespace baltoro
