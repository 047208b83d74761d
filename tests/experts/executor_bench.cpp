// Times one whole layer of routed experts with K2's shapes against the read bandwidth that the same
// team measures in the same run.
//   executor_bench [isa level | auto] [n_threads] [n_experts] [n_chunk_rows]

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "base/random.h"
#include "cpu_kernels/isa.h"
#include "experts/expert_executor.h"
#include "experts/scratch_memory.h"
#include "numa/bandwidth.h"

using namespace baltoro;
using experts::ExpertBatch;
using experts::ExpertExecutor;
using experts::ExpertShapes;
using experts::ExpertStore;
using experts::ExpertWeights;
using experts::ScratchMemory;

namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::seconds kPatience{10};
constexpr int kHidden = 7168;
constexpr int kIntermediate = 2048;
constexpr int kExpertsPerRow = 8;
constexpr std::size_t kMatrix = std::size_t{kHidden} * kIntermediate;
constexpr std::size_t kScales =
    std::size_t{kHidden / kernels::kScaleBlock} * (kIntermediate / kernels::kScaleBlock);

// Codes as a checkpoint holds them: normal weights, the largest of a scale block at 448. Written by
// the team, so that they lie on its nodes.
void fill(numa::Team& team, e4m3_t* codes, std::size_t n) {
    std::vector<e4m3_t> pattern(std::size_t{2} << 20);
    Random random(1);
    for (e4m3_t& code : pattern)
        code = e4m3_from_float(static_cast<float>(112.0 * random.normal()));
    team.run([&](int worker_idx) {
        const std::size_t n_workers = static_cast<std::size_t>(team.size());
        const std::size_t end = n * (worker_idx + 1) / n_workers;
        for (std::size_t at = n * worker_idx / n_workers; at < end; at += pattern.size())
            std::memcpy(codes + at, pattern.data(), std::min(end - at, pattern.size()));
    });
}

ExpertStore make_store(const e4m3_t* codes, const std::vector<float>& scales, int n_experts) {
    std::vector<ExpertWeights> experts;
    const auto weight = [&](int matrix, int n, int k) {
        return kernels::Weight{codes + kMatrix * static_cast<std::size_t>(matrix),
                               scales.data(),
                               n,
                               k,
                               k,
                               kernels::WeightFormat::fp8_block};
    };
    for (int e = 0; e < n_experts; ++e) {
        experts.push_back({weight(3 * e, kIntermediate, kHidden),
                           weight(3 * e + 1, kIntermediate, kHidden),
                           weight(3 * e + 2, kHidden, kIntermediate)});
    }
    return ExpertStore(1, n_experts, std::move(experts));
}

// Routed rows; every call of choose() sends them to other experts, so that no cache helps.
class Rows {
  public:
    Rows(int n_rows, int n_experts)
        : n_rows_(n_rows),
          x_(static_cast<std::size_t>(n_rows) * kHidden),
          ids_(static_cast<std::size_t>(n_rows) * kExpertsPerRow),
          gains_(ids_.size(), 0.125f),
          dst_(x_.size()) {
        for (bf16_t& value : x_)
            value = bf16_from_float(static_cast<float>(random_.normal()));
        for (int e = 0; e < n_experts; ++e)
            order_.push_back(e);
    }

    ExpertBatch choose() {
        for (std::size_t at = 0; at < ids_.size(); at += kExpertsPerRow) {
            for (std::size_t i = 0; i < kExpertsPerRow; ++i) {
                std::swap(order_[i], order_[i + random_.below(order_.size() - i)]);
                ids_[at + i] = order_[i];
            }
        }
        const bool is_prefill = n_rows_ > kernels::kMaxRows;
        return {0, n_rows_, x_.data(), ids_.data(), gains_.data(), dst_.data(), is_prefill};
    }

  private:
    int n_rows_;
    std::vector<bf16_t> x_;
    std::vector<std::int32_t> ids_;
    std::vector<float> gains_;
    std::vector<float> dst_;
    std::vector<std::int32_t> order_;
    Random random_{1};
};

struct Bench {
    numa::Team& team;
    const numa::Topology& topology;
    ExpertExecutor& executor;
    int n_experts;

    void time_rows(int n_rows, int n_runs) const;
};

void Bench::time_rows(int n_rows, int n_runs) const {
    Rows rows(n_rows, n_experts);
    const double rate_before = numa::measure_read_bandwidth(team, topology);
    std::vector<double> seconds;
    double total_bytes = 0;
    const Clock::time_point bench_begin = Clock::now();
    // The first run is not counted; slow levels make fewer.
    for (int i = -1; i < n_runs; ++i) {
        if (i > 0 && Clock::now() - bench_begin > kPatience) break;
        const ExpertBatch batch = rows.choose();
        const Clock::time_point begin = Clock::now();
        executor.run(batch);
        const std::chrono::duration<double> taken = Clock::now() - begin;
        if (i < 0) continue;
        seconds.push_back(taken.count());
        total_bytes += static_cast<double>(executor.last_weight_bytes());
    }
    // Neighbours on a shared machine change the rate; the ceiling is the better of two.
    const double rate = std::max(rate_before, numa::measure_read_bandwidth(team, topology));
    std::sort(seconds.begin(), seconds.end());
    const double bytes = total_bytes / static_cast<double>(seconds.size());
    const double median = seconds[seconds.size() / 2];
    const double flops = 6.0 * static_cast<double>(kMatrix) * kExpertsPerRow * n_rows;
    fmt::print(
        "{:5} rows {:10.0f} us (10 % {:.0f}, 90 % {:.0f}) {:7.2f} GB/s = {:5.1f} % of {:.2f} GB/s "
        "read, {:8.1f} GFLOPS\n",
        n_rows, 1e6 * median, 1e6 * seconds[seconds.size() / 10],
        1e6 * seconds[seconds.size() * 9 / 10], 1e-9 * bytes / median, 100 * bytes / median / rate,
        1e-9 * rate, 1e-9 * flops / median);
}

int argument(int argc, char** argv, int idx, int otherwise) {
    return argc > idx ? std::atoi(argv[idx]) : otherwise;
}

}  // namespace

int main(int argc, char** argv) {
    const std::string_view isa = argc > 1 ? argv[1] : "auto";
    const Result<kernels::IsaLevel> named = kernels::isa_from_name(isa);
    if (!named && isa != "auto") {
        fmt::print(stderr, "{}\n", named.error());
        return 1;
    }
    const kernels::IsaLevel level = named ? *named : kernels::best_isa();
    if (level > kernels::highest_isa()) {
        fmt::print(stderr, "this machine runs levels up to {}, not {}\n",
                   kernels::isa_name(kernels::highest_isa()), isa);
        return 1;
    }
    const numa::Topology topology = numa::discover_topology();
    const int n_threads = argument(argc, argv, 2, numa::default_thread_count(topology));
    const int n_experts = std::max(kExpertsPerRow, argument(argc, argv, 3, 64));
    const int n_chunk_rows = argument(argc, argv, 4, 512);

    numa::Team team(numa::place_workers(topology, n_threads));
    const std::size_t n_codes = 3 * kMatrix * static_cast<std::size_t>(n_experts);
    const ScratchMemory codes(n_codes);
    fill(team, codes.as<e4m3_t>(), n_codes);
    const std::vector<float> scales(kScales, 0.001f);
    const ExpertStore store = make_store(codes.as<e4m3_t>(), scales, n_experts);
    const ExpertShapes shapes{kHidden, kIntermediate, kExpertsPerRow, std::max(16, n_chunk_rows)};
    ExpertExecutor executor(team, kernels::table_for(level), store, shapes);
    fmt::print("{}, {}, {} threads, {} experts {} x {} fp8, top-{}\n", topology.cpu_model,
               kernels::isa_name(level), n_threads, n_experts, kHidden, kIntermediate,
               kExpertsPerRow);
    const Bench bench{team, topology, executor, n_experts};
    bench.time_rows(1, 51);
    bench.time_rows(4, 21);
    if (n_chunk_rows > 0) bench.time_rows(n_chunk_rows, 3);
}
