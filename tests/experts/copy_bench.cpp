// Times the copying of experts to node-local memory against memcpy of as many bytes, by the same
// workers and also to memory that was never written.
//   copy_bench [n_threads] [n_experts]

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <vector>

#include <fmt/format.h>

#include "experts/copied_experts.h"
#include "experts/scratch_memory.h"

using namespace baltoro;
using namespace baltoro::experts;

namespace {

using Clock = std::chrono::steady_clock;

constexpr int kHidden = 7168;
constexpr int kIntermediate = 2048;
constexpr std::size_t kMatrix = std::size_t{kHidden} * kIntermediate;

double seconds_since(Clock::time_point begin) {
    return std::chrono::duration<double>(Clock::now() - begin).count();
}

double time_memcpy(numa::Team& team, const std::byte* src, std::size_t n_bytes, int os_index) {
    const Clock::time_point begin = Clock::now();
    const numa::Arena arena(n_bytes, os_index);
    team.run([&](int worker_idx) {
        const std::size_t n = n_bytes / static_cast<std::size_t>(team.size());
        std::memcpy(arena.data() + n * worker_idx, src + n * worker_idx, n);
    });
    return seconds_since(begin);
}

}  // namespace

int main(int argc, char** argv) {
    const numa::Topology topology = numa::discover_topology();
    const int n_threads = argc > 1 ? std::atoi(argv[1]) : numa::default_thread_count(topology);
    const int n_experts = argc > 2 ? std::atoi(argv[2]) : 32;
    const std::size_t n_bytes = 3 * kMatrix * static_cast<std::size_t>(n_experts);
    const ScratchMemory src(n_bytes);
    std::memset(src.data(), 1, n_bytes);
    const std::vector<float> scales(kMatrix / kernels::kScaleBlock / kernels::kScaleBlock, 1.0f);
    std::vector<ExpertWeights> experts;
    for (int e = 0; e < n_experts; ++e) {
        const std::byte* at = src.data() + 3 * kMatrix * static_cast<std::size_t>(e);
        const auto weight = [&](std::size_t matrix, int n, int k) {
            return kernels::Weight{at + matrix * kMatrix,           scales.data(), n, k, k,
                                   kernels::WeightFormat::fp8_block};
        };
        experts.push_back({weight(0, kIntermediate, kHidden), weight(1, kIntermediate, kHidden),
                           weight(2, kHidden, kIntermediate)});
    }
    const ExpertStore store(1, n_experts, std::move(experts));
    numa::Team team(numa::place_workers(topology, n_threads));
    const Placement placement = place_experts(team, kIntermediate);
    double best_memcpy = 1e9;
    double best_copy = 1e9;
    for (int i = 0; i < 5; ++i) {
        best_memcpy = std::min(best_memcpy,
                               time_memcpy(team, src.data(), n_bytes, topology.nodes[0].os_index));
        const Clock::time_point begin = Clock::now();
        const CopiedExperts copied({store}, placement, topology, team);
        best_copy = std::min(best_copy, seconds_since(begin));
        if (i > 0) continue;
        for (const std::string& line : copied.fallbacks())
            fmt::print("{}\n", line);
    }
    const double gigabytes = 1e-9 * static_cast<double>(n_bytes);
    fmt::print("{}, {} threads, {} nodes, {:.2f} GB, best of 5\n", topology.cpu_model, n_threads,
               placement.nodes.size(), gigabytes);
    fmt::print("memcpy {:6.2f} GB/s   copied experts {:6.2f} GB/s = {:.0f} %\n",
               gigabytes / best_memcpy, gigabytes / best_copy, 100 * best_memcpy / best_copy);
}
