// Prints what a phase, a barrier, discovery and the read bandwidth measurement cost here.
//   team_bench [n_threads]

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <vector>

#include <fmt/format.h>

#include "numa/bandwidth.h"
#include "numa/team.h"

using namespace baltoro::numa;

namespace {

using Clock = std::chrono::steady_clock;

double us_since(Clock::time_point begin) {
    return std::chrono::duration<double, std::micro>(Clock::now() - begin).count();
}

// Median and tenth/ninetieth percentile of the time per call over blocks of `n_calls`.
template <typename F>
void print_cost(const char* what, int n_calls, F&& call_many) {
    std::vector<double> us;
    for (int block = 0; block < 101; ++block) {
        const Clock::time_point begin = Clock::now();
        call_many(n_calls);
        us.push_back(us_since(begin) / n_calls);
    }
    std::sort(us.begin(), us.end());
    fmt::print("{:<10} {:8.3f} us  (10 % {:.3f}, 90 % {:.3f})\n", what, us[50], us[10], us[90]);
}

}  // namespace

int main(int argc, char** argv) {
    const Clock::time_point begin = Clock::now();
    const Topology topology = discover_topology();
    const double discovery_us = us_since(begin);
    const int n_threads = argc > 1 ? std::atoi(argv[1]) : default_thread_count(topology);
    fmt::print("{}, {} nodes, {} cores, {} threads, limit {} CPUs\n", topology.cpu_model,
               topology.nodes.size(), topology.cores.size(), n_threads, topology.cpu_limit);
    fmt::print("discovery  {:8.3f} ms\n", discovery_us / 1000);
    Team team(place_workers(topology, n_threads));
    print_cost("run()", 1000, [&](int n) {
        for (int i = 0; i < n; ++i)
            team.run([](int) {});
    });
    print_cost("barrier()", 1000, [&](int n) {
        team.run([&](int) {
            for (int i = 0; i < n; ++i)
                team.barrier();
        });
    });
    for (int i = 0; i < 3; ++i) {
        const Clock::time_point measured = Clock::now();
        const double rate = measure_read_bandwidth(team, topology);
        fmt::print("read       {:8.2f} GB/s in {:.0f} ms\n", rate / 1e9, us_since(measured) / 1000);
    }
}
