#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "app/speed_bench.h"

namespace baltoro {

// What the lines of a benchmark have in common.
struct BenchSetup {
    std::string commit;
    std::string cpu;
    std::string backend;  // device, instruction set, threads
    std::string model_path;
    std::string model_type;
    std::uint64_t model_bytes = 0;
    std::uint64_t n_weights = 0;
    std::uint64_t bytes_per_token = 0;  // weights read by a decode step
    int n_threads = 0;
    int chunk = 0;
    double load_s = 0.0;
};

struct BenchResult {
    BenchTest test;
    std::vector<double> seconds;            // one or more repetitions
    double machine_read_bytes_per_s = 0.0;  // measured beside them
    std::string time;                       // UTC, ISO 8601

    std::vector<double> rates() const;  // tokens per second of each repetition
    // Of decode steps: weights read, and their share of what the machine can read. 0 of prefill.
    double read_bytes_per_s(const BenchSetup& setup) const;
};

enum class BenchFormat { markdown, csv, json, jsonl };

// Throws Error for a name other than md, csv, json, jsonl.
BenchFormat bench_format(std::string_view name);

// The parts of the output, in order; lines end with a newline. JSON uses llama-bench's names for
// what both have. `line_idx` counts from 0.
std::string bench_head(BenchFormat format, const BenchSetup& setup);
std::string bench_line(BenchFormat format,
                       const BenchSetup& setup,
                       const BenchResult& result,
                       int line_idx);
std::string bench_foot(BenchFormat format, const BenchSetup& setup);

}  // namespace baltoro
