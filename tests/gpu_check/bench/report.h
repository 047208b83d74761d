#pragma once

#include <optional>
#include <string>
#include <vector>

namespace baltoro::gpu_check {

// Of repeated measurements: the median, and the 10th and the 90th percentile.
struct Spread {
    double median_us = 0;
    double low_us = 0;
    double high_us = 0;
};

Spread spread_of(std::vector<double> times_us);

// A line of the report. `share` is a part of what the same run measured as possible; where it is
// absent the time itself is compared. Bar and goal are in the unit of what is compared.
struct Line {
    std::string name;
    Spread time;
    std::string rate;  // "3.91 TB/s"
    std::optional<double> share;
    std::optional<double> bar;
    std::optional<double> goal;
};

// What one run has measured, and what it could not.
struct Report {
    std::string gpu;
    double copy_bytes_per_s = 0;
    double matrix_flops = 0;
    std::string matrix_source;  // what matrix_flops was measured with
    std::vector<Line> lines;
    std::vector<std::string> skipped;

    void add(Line line);  // prints it too
    void skip(const std::string& what);
};

void print_head(const Report& report);
// Throws Error.
void write_json(const Report& report, const std::string& path);

}  // namespace baltoro::gpu_check
