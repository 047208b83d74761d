#include "tests/cpu_kernels/bench.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <fstream>
#include <memory>
#include <new>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/random.h"
#include "tests/cpu_kernels/bench_options.h"
#include "tests/cpu_kernels/bench_peak.h"
#include "tests/cpu_kernels/bench_pool.h"

namespace baltoro::kernels {
namespace {

constexpr int kHidden = 7168;
constexpr int kWidth = 2048;
constexpr size_t kMatrixBytes = size_t{kHidden} * kWidth;
// kv_b: for each head the rows that make keys, then as many that make values.
constexpr int kHeads = 64;
constexpr int kHeadRows = 128;
constexpr int kRank = 512;
constexpr size_t kKeyBytes = size_t{kHeadRows} * kRank;  // of a head

// Weights that a call reads.
size_t weight_bytes(Product product) {
    if (product == Product::transposed) return kHeads * kKeyBytes;
    const bool is_gate_up = product == Product::rows_gate_up || product == Product::panels_gate_up;
    return is_gate_up ? 2 * kMatrixBytes : kMatrixBytes;
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
    std::vector<float> queries = std::vector<float>(size_t{kMaxRows} * kHeadRows, 0.25f);
    std::vector<float> out = std::vector<float>(size_t{kMostRows} * kHidden);
    std::vector<AlignedBytes> scratch;

    Buffers(const Table& table, int n_threads) {
        Random random(2);
        auto* values = reinterpret_cast<bf16_t*>(x.get());
        for (size_t i = 0; i < size_t{kMostRows} * kHidden; ++i)
            values[i] = bf16_from_float(static_cast<float>(random.uniform()) - 0.5f);
        for (int t = 0; t < n_threads; ++t)
            scratch.push_back(aligned_bytes(std::max(table.panel_scratch_bytes(kHidden, kMostRows),
                                                     table.row_scratch_bytes(kHidden))));
    }
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
        const size_t slot_bytes =
            weight_bytes(op.product) * (op.product == Product::transposed ? 2 : 1);
        const size_t n_slots = pool_.size_bytes() / slot_bytes;
        const double flops = 2.0 * op.n_rows * static_cast<double>(slot_bytes);
        const int n_calls =
            std::clamp(static_cast<int>(5e10 / flops), 2, static_cast<int>(n_slots));
        std::vector<double> samples;
        for (int s = 0; s < o_.n_samples; ++s) {
            const size_t first = next_slot_ % n_slots;
            next_slot_ = first + static_cast<size_t>(n_calls);
            samples.push_back(
                seconds_on_threads(
                    o_.n_threads, o_.clock,
                    [&](int t) {
                        for (size_t c = 0; c < static_cast<size_t>(n_calls); ++c)
                            call(op, pool_.data() + (first + c) % n_slots * slot_bytes, t);
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
        if (op.product == Product::panels_gate_up)
            table_.panels_gate_up({gate, up, share(kWidth, t), x, op.n_rows, activated, scratch});
        if (op.product == Product::rows_gate_up)
            table_.rows_gate_up(
                {gate, up, share(kWidth, t), x, kHidden, op.n_rows, activated, kWidth, scratch});
        if (op.product == Product::panels_product)
            table_.panels_product({down, share(kHidden, t), x, op.n_rows, buffers_.out.data(),
                                   kHidden, buffers_.gain.data(), nullptr, scratch});
        if (op.product == Product::rows_product)
            table_.rows_product({down, share(kHidden, t), x, kWidth, op.n_rows, buffers_.out.data(),
                                 kHidden, buffers_.gain.data(), nullptr, scratch});
        if (op.product == Product::transposed) call_transposed(op.n_rows, at, t);
    }

    // The heads' queries times their keys' rows.
    void call_transposed(int n_rows, const uint8_t* at, int t) {
        for (int h = kHeads * t / o_.n_threads; h < kHeads * (t + 1) / o_.n_threads; ++h) {
            const size_t head = static_cast<size_t>(h);
            table_.transposed_product({.w = weight(at + 2 * head * kKeyBytes, kHeadRows, kRank),
                                       .range = {0, kHeadRows},
                                       .x = buffers_.queries.data(),
                                       .x_stride = kHeadRows,
                                       .n_rows = n_rows,
                                       .dst = buffers_.out.data() + head * kMaxRows * kRank,
                                       .dst_stride = kRank,
                                       .accumulate = false});
        }
    }

    const Options& o_;
    const Table& table_;
    const Pool& pool_;
    Buffers buffers_;
    size_t next_slot_ = 0;
};

// What a figure is compared with. Measured beside it, because a shared machine's bandwidth and
// clock drift.
struct Machine {
    double read_gb_s;
    double peak_tflops;  // of the level's multiply instruction

    Machine(const Options& o, const Pool& pool) {
        std::vector<double> reads;
        std::vector<double> peaks;
        for (int s = 0; s < 3; ++s) {
            reads.push_back(kernels::read_gb_s(pool, o.n_threads, o.clock));
            peaks.push_back(kernels::peak_tflops(o.isa, o.n_threads, o.clock));
        }
        read_gb_s = median(reads);
        peak_tflops = median(peaks);
    }
};

// One figure as users of --json read it; cpu_kernels/README.md says what the keys mean.
nlohmann::json measure(Bench& bench,
                       const Options& o,
                       const Op& op,
                       const std::string& pages,
                       const Machine& machine) {
    const double seconds = bench.seconds(op);
    const double bytes = static_cast<double>(weight_bytes(op.product));
    const double flops = 2.0 * bytes * op.n_rows;
    const double roofline =
        std::max(bytes / (machine.read_gb_s * 1e9), flops / (machine.peak_tflops * 1e12));
    fmt::print(
        "{:<12} {:<15} {:>2} {:>4} rows {:>10.1f} us {:>6.1f} GB/s {:>7.3f} TFLOPS "
        "{:>5.1f} % of roofline (read {:.1f} GB/s, peak {:.3f} TFLOPS)\n",
        isa_name(o.isa), op.name, pages, op.n_rows, seconds * 1e6, bytes / seconds * 1e-9,
        flops / seconds * 1e-12, 100.0 * roofline / seconds, machine.read_gb_s,
        machine.peak_tflops);
    std::fflush(stdout);
    nlohmann::json amx_tflops;
    if (o.isa == IsaLevel::amx) amx_tflops = machine.peak_tflops;
    return {{"op", op.name},
            {"isa", std::string(isa_name(o.isa))},
            {"pages", pages},
            {"rows", op.n_rows},
            {"us", seconds * 1e6},
            {"gb_s", bytes / seconds * 1e-9},
            {"tflops", flops / seconds * 1e-12},
            {"percent_of_roofline", 100.0 * roofline / seconds},
            {"machine",
             {{"read_gb_s", machine.read_gb_s},
              {"amx_tflops", amx_tflops},
              {"peak_tflops", machine.peak_tflops},
              {"threads", o.n_threads}}}};
}

nlohmann::json measure_all(const Options& o) {
    nlohmann::json results = nlohmann::json::array();
    for (const std::string& pages : o.pages) {
        const Pool pool(o.pool_mb << 20, pages == "2m");
        Bench bench(o, pool);
        for (const Op& op : ops_of(o))
            results.push_back(measure(bench, o, op, pages, Machine(o, pool)));
    }
    return results;
}

// Opened before anything is measured, so that a name that cannot be written costs no run.
std::ofstream open_json(const std::string& path) {
    std::ofstream file(path);
    if (!file) throw system_error("cannot write --json " + path, errno);
    return file;
}

}  // namespace

int run_bench(int argc, char** argv) {
    const Result<Options> options = parse_options({argv + 1, argv + argc});
    if (!options) throw Error(options.error());
    const Options& o = options.value();
    if (o.help) {
        fmt::print("{}", kBenchHelp);
        return 0;
    }
    std::ofstream json;
    if (!o.json.empty()) json = open_json(o.json);
    const nlohmann::json results = measure_all(o);
    if (o.json.empty()) return 0;
    json << results.dump(2) << '\n' << std::flush;
    if (!json) throw system_error("cannot write --json " + o.json, errno);
    return 0;
}

}  // namespace baltoro::kernels
