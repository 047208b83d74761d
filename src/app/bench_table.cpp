#include "app/bench_table.h"

#include <cmath>
#include <numeric>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/error.h"

namespace baltoro {
namespace {

using Json = nlohmann::ordered_json;

double mean(const std::vector<double>& values) {
    return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

// Of a sample; 0 of a single value.
double deviation(const std::vector<double>& values) {
    if (values.size() < 2) return 0.0;
    const double centre = mean(values);
    double sum = 0.0;
    for (const double value : values)
        sum += (value - centre) * (value - centre);
    return std::sqrt(sum / static_cast<double>(values.size() - 1));
}

std::vector<std::int64_t> nanoseconds(const std::vector<double>& seconds) {
    std::vector<std::int64_t> ns;
    for (const double value : seconds)
        ns.push_back(std::llround(1e9 * value));
    return ns;
}

double percent_of_read(const BenchSetup& setup, const BenchResult& result) {
    return 100.0 * result.read_bytes_per_s(setup) / result.machine_read_bytes_per_s;
}

Json json_of(const BenchSetup& setup, const BenchResult& result) {
    const std::vector<double> rates = result.rates();
    return {{"build_commit", setup.commit},
            {"cpu_info", setup.cpu},
            {"backends", setup.backend},
            {"model_filename", setup.model_path},
            {"model_type", setup.model_type},
            {"model_size", setup.model_bytes},
            {"model_n_params", setup.n_weights},
            {"n_batch", setup.chunk},
            {"n_threads", setup.n_threads},
            {"n_prompt", result.test.n_prompt},
            {"n_gen", result.test.n_generated},
            {"n_depth", result.test.depth},
            {"test_time", result.time},
            {"avg_ns", std::llround(1e9 * mean(result.seconds))},
            {"stddev_ns", std::llround(1e9 * deviation(result.seconds))},
            {"avg_ts", mean(rates)},
            {"stddev_ts", deviation(rates)},
            {"samples_ns", nanoseconds(result.seconds)},
            {"samples_ts", rates},
            {"load_s", setup.load_s},
            {"bytes_per_token", setup.bytes_per_token},
            {"read_gb_s", 1e-9 * result.read_bytes_per_s(setup)},
            {"machine_read_gb_s", 1e-9 * result.machine_read_bytes_per_s},
            {"percent_of_bandwidth", percent_of_read(setup, result)}};
}

// JSON's spelling of a number or text is CSV's, too, but for quotes inside a text.
std::string csv_field(const Json& value) {
    if (!value.is_string()) return value.dump();
    std::string field = "\"";
    for (const char c : value.get<std::string>())
        field += c == '"' ? std::string("\"\"") : std::string(1, c);
    return field + "\"";
}

// One line of the fields that are no lists.
std::string csv_line(const Json& object, bool names) {
    std::string line;
    for (const auto& [key, value] : object.items()) {
        if (value.is_array()) continue;
        line += (line.empty() ? "" : ",") + (names ? key : csv_field(value));
    }
    return line + "\n";
}

std::string markdown_line(const BenchSetup& setup, const BenchResult& result) {
    const std::vector<double> rates = result.rates();
    std::string read = "|  |  |";
    if (result.test.n_generated > 0)
        read = fmt::format("| {:.1f} | {:.0f} % of {:.1f} |", 1e-9 * result.read_bytes_per_s(setup),
                           percent_of_read(setup, result), 1e-9 * result.machine_read_bytes_per_s);
    return fmt::format("| {} | {:.2f} GB | {:.2f} B | {} | {} | {} | {:.2f} ± {:.2f} | {:.3f} {}\n",
                       setup.model_type, 1e-9 * static_cast<double>(setup.model_bytes),
                       1e-9 * static_cast<double>(setup.n_weights), setup.backend, setup.n_threads,
                       result.test.name(), mean(rates), deviation(rates), mean(result.seconds),
                       read);
}

}  // namespace

std::vector<double> BenchResult::rates() const {
    std::vector<double> rates;
    for (const double value : seconds)
        rates.push_back(test.n_tokens() / value);
    return rates;
}

double BenchResult::read_bytes_per_s(const BenchSetup& setup) const {
    if (test.n_generated == 0) return 0.0;
    return mean(rates()) * static_cast<double>(setup.bytes_per_token);
}

BenchFormat bench_format(std::string_view name) {
    if (name == "md") return BenchFormat::markdown;
    if (name == "csv") return BenchFormat::csv;
    if (name == "json") return BenchFormat::json;
    if (name == "jsonl") return BenchFormat::jsonl;
    throw Error(fmt::format("--output {}: there are md, csv, json and jsonl", name));
}

std::string bench_head(BenchFormat format, const BenchSetup& setup) {
    if (format == BenchFormat::csv) return csv_line(json_of(setup, {{}, {1.0}, 1.0, {}}), true);
    if (format == BenchFormat::json) return "[\n";
    if (format == BenchFormat::jsonl) return "";
    return "| model | size | params | backend | threads | test | t/s | s | GB/s | of read GB/s |\n"
           "|---|---:|---:|---|---:|---:|---:|---:|---:|---:|\n";
}

std::string bench_line(BenchFormat format,
                       const BenchSetup& setup,
                       const BenchResult& result,
                       int line_idx) {
    if (format == BenchFormat::markdown) return markdown_line(setup, result);
    const Json json = json_of(setup, result);
    if (format == BenchFormat::csv) return csv_line(json, false);
    if (format == BenchFormat::jsonl) return json.dump() + "\n";
    return (line_idx == 0 ? "" : ",\n") + json.dump(2);
}

std::string bench_foot(BenchFormat format, const BenchSetup& setup) {
    if (format == BenchFormat::json) return "\n]\n";
    if (format != BenchFormat::markdown) return "";
    return fmt::format(
        "\nbuild: {}; {}; a step reads {:.3f} GB of weights; {} tokens a prefill step; loaded in "
        "{:.2f} s\n",
        setup.commit, setup.cpu, 1e-9 * static_cast<double>(setup.bytes_per_token), setup.chunk,
        setup.load_s);
}

}  // namespace baltoro
