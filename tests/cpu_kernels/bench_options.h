#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "cpu_kernels/isa.h"
#include "tests/cpu_kernels/bench_pool.h"

namespace baltoro::kernels {

constexpr int kMostRows = 256;  // activation rows of the largest measured call

enum class Product { rows_gate_up, panels_gate_up, rows_product, panels_product, transposed };

// One measured call.
struct Op {
    const char* name;
    Product product;
    int n_rows;
};

struct Options {
    std::string json;
    IsaLevel isa = best_isa();
    int n_threads = n_allowed_cpus();
    size_t pool_mb = 1024;
    int n_samples = 3;
    Clock clock = Clock::wall;
    std::string op;
    std::vector<int> rows;  // empty: all that are measured by default
    std::vector<std::string> pages = {"2m", "4k"};
    bool help = false;
};

extern const char kBenchHelp[];

// What the arguments after the program's name ask for, or one line that says what is wrong.
Result<Options> parse_options(std::span<char* const> arguments);

// The calls to measure, those that the options leave.
std::vector<Op> ops_of(const Options& options);

}  // namespace baltoro::kernels
