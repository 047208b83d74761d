#include "tests/gpu_check/bench/report.h"

#include <algorithm>
#include <cstdio>

#include <fmt/format.h>

#include "base/error.h"

namespace baltoro::gpu_check {
namespace {

// "70 %" of a share, "20 us" of a time, "-" where there is none.
std::string limit_text(const std::optional<double>& limit, bool is_share) {
    if (!limit) return "-";
    return is_share ? fmt::format("{:.0f} %", *limit * 100) : fmt::format("{:.0f} us", *limit);
}

bool meets(const Line& line, const std::optional<double>& limit) {
    if (!limit) return true;
    return line.share ? *line.share >= *limit : line.time.median_us <= *limit;
}

const char* verdict(const Line& line) {
    if (!line.bar) return "";
    if (meets(line, line.goal)) return "goal";
    return meets(line, line.bar) ? "bar" : "below";
}

std::string json_number(const std::optional<double>& value) {
    return value ? fmt::format("{:.6g}", *value) : "null";
}

// The texts are ours, and the GPU's name: no control characters.
std::string quoted(const std::string& text) {
    std::string result = "\"";
    for (const char c : text) {
        if (c == '"' || c == '\\') result += '\\';
        result += c;
    }
    return result + "\"";
}

}  // namespace

Spread spread_of(std::vector<double> times_us) {
    if (times_us.empty()) return {};
    std::sort(times_us.begin(), times_us.end());
    const auto at = [&](double part) {
        return times_us[static_cast<std::size_t>(part * static_cast<double>(times_us.size() - 1) +
                                                 0.5)];
    };
    return {at(0.5), at(0.1), at(0.9)};
}

void Report::add(Line line) {
    fmt::print(
        "| {:44} | {:10.2f} | {:10.2f} - {:<10.2f} | {:>12} | {:>6} | {:>6} | {:>6} | {:5} |\n",
        line.name, line.time.median_us, line.time.low_us, line.time.high_us, line.rate,
        limit_text(line.share, true), limit_text(line.bar, line.share.has_value()),
        limit_text(line.goal, line.share.has_value()), verdict(line));
    std::fflush(stdout);
    lines.push_back(std::move(line));
}

void Report::skip(const std::string& what) {
    fmt::print("skipped: {}\n", what);
    skipped.push_back(what);
}

void print_head(const Report& report) {
    fmt::print(
        "GPU: {}\nTimes are per call, from cold memory, by CUDA events over graphs of many calls.\n"
        "Shares are of the copy bandwidth (bytes read and written), or of the bf16 rate.\n\n"
        "| {:44} | {:>10} | {:^23} | {:>12} | {:>6} | {:>6} | {:>6} | {:5} |\n"
        "|{:-<46}|{:->11}:|{:-<25}|{:->13}:|{:->7}:|{:->7}:|{:->7}:|{:-<7}|\n",
        report.gpu, "what", "median us", "10 % - 90 %", "rate", "share", "bar", "goal", "meets", "",
        "", "", "", "", "", "", "");
}

void write_json(const Report& report, const std::string& path) {
    std::FILE* file = std::fopen(path.c_str(), "w");
    if (file == nullptr) throw Error("cannot write " + path);
    fmt::print(file,
               "{{\"gpu\": {}, \"copy_bytes_per_s\": {:.6g}, \"bf16_flops\": {:.6g}, "
               "\"bf16_flops_by\": {},\n \"lines\": [",
               quoted(report.gpu), report.copy_bytes_per_s, report.matrix_flops,
               quoted(report.matrix_source));
    const char* separator = "\n";
    for (const Line& line : report.lines) {
        fmt::print(file,
                   "{}  {{\"name\": {}, \"median_us\": {:.6g}, \"p10_us\": {:.6g}, \"p90_us\": "
                   "{:.6g}, \"rate\": {}, \"share\": {}, \"bar\": {}, \"goal\": {}}}",
                   separator, quoted(line.name), line.time.median_us, line.time.low_us,
                   line.time.high_us, quoted(line.rate), json_number(line.share),
                   json_number(line.bar), json_number(line.goal));
        separator = ",\n";
    }
    fmt::print(file, "],\n \"skipped\": [");
    separator = "";
    for (const std::string& what : report.skipped) {
        fmt::print(file, "{}{}", separator, quoted(what));
        separator = ", ";
    }
    fmt::print(file, "]}}\n");
    if (std::fclose(file) != 0) throw Error("cannot write " + path);
}

}  // namespace baltoro::gpu_check
