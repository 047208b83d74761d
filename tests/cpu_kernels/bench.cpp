#include "tests/cpu_kernels/bench.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <new>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "base/random.h"
#include "tests/cpu_kernels/bench_peak.h"
#include "tests/cpu_kernels/bench_pool.h"

namespace baltoro::kernels {
namespace {

constexpr char kHelp[] =
    "cpu_check [doctest options]   runs the checks\n"
    "cpu_check --bench             measures the products at hidden 7168, expert width 2048\n"
    "  --json FILE     also writes the results there (default: none)\n"
    "  --isa LEVEL     scalar, avx2, avx512, avx512_bf16, amx (default: the best of this CPU)\n"
    "  --threads N     pinned threads (default: one per CPU)\n"
    "  --pool-mb N     cold weights to cycle through (default: 1024)\n"
    "  --samples N     samples of each figure, the median counts (default: 3)\n"
    "  --clock wall|cpu  cpu counts the threads' own time, for a machine that does other work at\n"
    "                  the same time (default: wall)\n"
    "  --op TEXT       only operations whose name contains it (default: all)\n"
    "  --pages 2m|4k   page size of the weights (default: both)\n";

constexpr int kHidden = 7168;
constexpr int kWidth = 2048;
constexpr size_t kMatrixBytes = size_t{kHidden} * kWidth;
constexpr int kMostRows = 256;

struct Options {
    std::string json;
    IsaLevel isa = best_isa();
    int n_threads = static_cast<int>(std::thread::hardware_concurrency());
    size_t pool_mb = 1024;
    int n_samples = 3;
    Clock clock = Clock::wall;
    std::string op;
    std::vector<std::string> pages = {"2m", "4k"};
};

Options parse(int argc, char** argv) {
    Options o;
    for (int i = 1; i < argc; ++i) {
        const std::string name = argv[i];
        if (name == "--bench") continue;
        if (i + 1 == argc) throw std::runtime_error(name + " needs a value or is unknown");
        const std::string value = argv[++i];
        if (name == "--json")
            o.json = value;
        else if (name == "--isa")
            o.isa = isa_from_name(value).value();
        else if (name == "--threads")
            o.n_threads = std::stoi(value);
        else if (name == "--pool-mb")
            o.pool_mb = std::stoul(value);
        else if (name == "--samples")
            o.n_samples = std::stoi(value);
        else if (name == "--clock")
            o.clock = value == "cpu" ? Clock::cpu : Clock::wall;
        else if (name == "--op")
            o.op = value;
        else if (name == "--pages")
            o.pages = {value};
        else
            throw std::runtime_error(name + " is unknown; see --help");
    }
    return o;
}

double median(std::vector<double> values) {
    std::nth_element(values.begin(), values.begin() + values.size() / 2, values.end());
    return values[values.size() / 2];
}

struct AlignedDelete {
    void operator()(uint8_t* p) const { ::operator delete[](p, std::align_val_t{64}); }
};
using AlignedBytes = std::unique_ptr<uint8_t[], AlignedDelete>;

AlignedBytes aligned_bytes(size_t n) {
    return AlignedBytes(new (std::align_val_t{64}) uint8_t[n]());
}

// Everything the measured calls read and write besides the weights.
struct Buffers {
    std::vector<float> scales = std::vector<float>(kMatrixBytes / 16384, 0.01f);
    std::vector<float> gain = std::vector<float>(kMostRows, 0.5f);
    AlignedBytes x = aligned_bytes(size_t{kMostRows} * kHidden * 2);
    AlignedBytes activated = aligned_bytes(size_t{kMostRows} * kHidden * 2);
    std::vector<float> out = std::vector<float>(size_t{kMostRows} * kHidden);
    std::vector<AlignedBytes> scratch;

    Buffers(const Table& table, int n_threads) {
        Random random(2);
        auto* values = reinterpret_cast<bf16_t*>(x.get());
        for (size_t i = 0; i < size_t{kMostRows} * kHidden; ++i)
            values[i] = bf16_from_float(static_cast<float>(random.uniform()) - 0.5f);
        for (int t = 0; t < n_threads; ++t)
            scratch.push_back(aligned_bytes(table.panel_scratch_bytes(kHidden, kMostRows)));
    }
};

struct Op {
    const char* name;
    bool panels;
    bool gate_up;
    int n_rows;
};

class Bench {
  public:
    Bench(const Options& options, const Pool& pool)
        : o_(options),
          table_(table_for(options.isa)),
          pool_(pool),
          buffers_(table_, o_.n_threads) {}

    // Median seconds of one call spread over the threads, weights cold.
    double seconds(const Op& op) {
        const size_t bytes = op.gate_up ? 2 * kMatrixBytes : kMatrixBytes;
        const size_t n_slots = pool_.size_bytes() / bytes;
        const double flops = 2.0 * op.n_rows * static_cast<double>(bytes);
        const int n_calls =
            std::clamp(static_cast<int>(5e10 / flops), 2, static_cast<int>(n_slots));
        std::vector<double> samples;
        for (int s = 0; s < o_.n_samples; ++s) {
            const size_t first = next_slot_ % n_slots;
            next_slot_ = first + static_cast<size_t>(n_calls);
            samples.push_back(seconds_on_threads(
                                  o_.n_threads, o_.clock,
                                  [&](int t) {
                                      for (size_t c = 0; c < static_cast<size_t>(n_calls); ++c)
                                          call(op, pool_.data() + (first + c) % n_slots * bytes, t);
                                  }) /
                              n_calls);
        }
        return median(samples);
    }

  private:
    Weight weight(const uint8_t* at, int n, int k) const {
        return {.data = at,
                .scale = buffers_.scales.data(),
                .n = n,
                .k = k,
                .stride = k,
                .format = WeightFormat::fp8_block};
    }

    RowRange share(int n, int t) const {
        const int units = n / 16;
        return {units * t / o_.n_threads * 16, units * (t + 1) / o_.n_threads * 16};
    }

    void call(const Op& op, const uint8_t* at, int t) {
        const auto* x = reinterpret_cast<const bf16_t*>(buffers_.x.get());
        auto* activated = reinterpret_cast<bf16_t*>(buffers_.activated.get());
        void* scratch = buffers_.scratch[static_cast<size_t>(t)].get();
        const Weight gate = weight(at, kWidth, kHidden);
        const Weight up = weight(at + kMatrixBytes, kWidth, kHidden);
        const Weight down = weight(at, kHidden, kWidth);
        if (op.gate_up && op.panels)
            table_.panels_gate_up({gate, up, share(kWidth, t), x, op.n_rows, activated, scratch});
        else if (op.gate_up)
            table_.rows_gate_up(
                {gate, up, share(kWidth, t), x, kHidden, op.n_rows, activated, kWidth});
        else if (op.panels)
            table_.panels_product({down, share(kHidden, t), x, op.n_rows, buffers_.out.data(),
                                   kHidden, buffers_.gain.data(), nullptr, scratch});
        else
            table_.rows_product({down, share(kHidden, t), x, kWidth, op.n_rows, buffers_.out.data(),
                                 kHidden, buffers_.gain.data(), nullptr});
    }

    const Options& o_;
    const Table& table_;
    const Pool& pool_;
    Buffers buffers_;
    size_t next_slot_ = 0;
};

std::vector<Op> ops_of(IsaLevel isa) {
    std::vector<Op> ops;
    for (const bool gate_up : {true, false}) {
        for (const int n_rows : {1, 2, 4, 8, 16})
            ops.push_back({gate_up ? "rows_gate_up" : "rows_product", false, gate_up, n_rows});
        if (isa < IsaLevel::avx512_bf16) continue;  // their panels are the scalar reference
        for (const int n_rows : {4, 8, 16, 32, 64, 128, 256})
            ops.push_back({gate_up ? "panels_gate_up" : "panels_product", true, gate_up, n_rows});
    }
    return ops;
}

nlohmann::json measure(const Options& o, const std::string& pages, double& read, double& peak) {
    const Pool pool(o.pool_mb << 20, pages == "2m");
    Bench bench(o, pool);
    nlohmann::json results = nlohmann::json::array();
    for (const Op& op : ops_of(o.isa)) {
        if (std::string(op.name).find(o.op) == std::string::npos) continue;
        // Measured beside each figure, because a shared machine's bandwidth and clock drift.
        std::vector<double> reads;
        std::vector<double> peaks;
        for (int s = 0; s < 3; ++s) {
            reads.push_back(read_gb_s(pool, o.n_threads, o.clock));
            peaks.push_back(peak_tflops(o.isa, o.n_threads, o.clock));
        }
        read = std::max(read, median(reads));
        peak = std::max(peak, median(peaks));
        const double seconds = bench.seconds(op);
        const double bytes = static_cast<double>(op.gate_up ? 2 * kMatrixBytes : kMatrixBytes);
        const double flops = 2.0 * bytes * op.n_rows;
        const double roofline =
            std::max(bytes / (median(reads) * 1e9), flops / (median(peaks) * 1e12));
        fmt::print(
            "{:<12} {:<15} {:>2} {:>4} rows {:>10.1f} us {:>6.1f} GB/s {:>7.3f} TFLOPS "
            "{:>5.1f} % of roofline (read {:.1f} GB/s, peak {:.3f} TFLOPS)\n",
            isa_name(o.isa), op.name, pages, op.n_rows, seconds * 1e6, bytes / seconds * 1e-9,
            flops / seconds * 1e-12, 100.0 * roofline / seconds, median(reads), median(peaks));
        std::fflush(stdout);
        results.push_back({{"op", op.name},
                           {"isa", std::string(isa_name(o.isa))},
                           {"pages", pages},
                           {"rows", op.n_rows},
                           {"us", seconds * 1e6},
                           {"gb_s", bytes / seconds * 1e-9},
                           {"tflops", flops / seconds * 1e-12},
                           {"percent_of_roofline", 100.0 * roofline / seconds}});
    }
    return results;
}

}  // namespace

int run_bench(int argc, char** argv) {
    for (int i = 1; i < argc; ++i)
        if (std::strcmp(argv[i], "--help") == 0) {
            fmt::print("{}", kHelp);
            return 0;
        }
    const Options o = parse(argc, argv);
    if (o.isa > best_isa()) {
        fmt::print(stderr, "this CPU does not run {}\n", isa_name(o.isa));
        return 1;
    }
    double read = 0;
    double peak = 0;
    nlohmann::json results = nlohmann::json::array();
    for (const std::string& pages : o.pages)
        for (const auto& result : measure(o, pages, read, peak))
            results.push_back(result);
    const nlohmann::json report = {
        {"machine", {{"read_gb_s", read}, {"peak_tflops", peak}, {"threads", o.n_threads}}},
        {"results", results}};
    if (!o.json.empty()) std::ofstream(o.json) << report.dump(2) << '\n';
    return 0;
}

}  // namespace baltoro::kernels
