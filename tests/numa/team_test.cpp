#include "numa/team.h"

#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

#include <doctest/doctest.h>
#include <sched.h>
#include <time.h>

using namespace baltoro::numa;

namespace {

std::vector<WorkerPlace> unpinned(int n) {
    return std::vector<WorkerPlace>(n);
}

double process_cpu_seconds() {
    timespec now{};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

// Every worker adds its share in each of many steps; a step reads what all wrote in the one before.
void check_exchange(Team& team, int n_runs, int n_steps) {
    const int n = team.size();
    std::vector<long> now(n, 1);
    std::vector<long> next(n, 0);
    std::atomic<int> n_wrong{0};
    for (int run = 0; run < n_runs; ++run) {
        team.run([&](int worker_idx) {
            for (int step = 0; step < n_steps; ++step) {
                const std::vector<long>& read = step % 2 == 0 ? now : next;
                std::vector<long>& write = step % 2 == 0 ? next : now;
                for (int i = 1; i < n; ++i)
                    if (read[i] != read[0]) n_wrong.fetch_add(1);
                write[worker_idx] = read[worker_idx] + 1;
                team.barrier();
            }
        });
    }
    CHECK(n_wrong == 0);
    CHECK(now == std::vector<long>(n, 1 + static_cast<long>(n_runs) * n_steps));
}

}  // namespace

TEST_CASE("run calls every worker once and returns when all have finished") {
    Team team(unpinned(3));
    std::vector<int> calls(3, 0);
    for (int i = 0; i < 100; ++i)
        team.run([&](int worker_idx) { ++calls[worker_idx]; });
    CHECK(calls == std::vector<int>{100, 100, 100});
}

TEST_CASE("worker 0 is the calling thread") {
    Team team(unpinned(2));
    std::thread::id id;
    team.run([&](int worker_idx) {
        if (worker_idx == 0) id = std::this_thread::get_id();
    });
    CHECK(id == std::this_thread::get_id());
}

TEST_CASE("a team of one needs no other thread") {
    Team team(unpinned(1));
    check_exchange(team, 3, 4);
}

TEST_CASE("a barrier shows every worker's writes to all") {
    Team team(place_workers(discover_topology(), 2));
    check_exchange(team, 50, 100);
}

TEST_CASE("more workers than CPUs get on") {
    const Topology topology = discover_topology();
    const int n = 4 * static_cast<int>(topology.cores.size()) + 3;
    Team team(place_workers(topology, n));
    check_exchange(team, 5, 20);
}

TEST_CASE("workers that fell asleep are woken") {
    Team team(unpinned(3), 0);
    check_exchange(team, 20, 10);
}

TEST_CASE("two workers pinned to one CPU get on") {
    const int cpu = discover_topology().cores[0].cpus[0];
    Team team({{0, cpu}, {0, cpu}});
    check_exchange(team, 5, 20);
}

TEST_CASE("an idle team uses no CPU") {
    Team team(unpinned(2), 1);
    team.run([](int) {});
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    const double begin = process_cpu_seconds();
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
    CHECK(process_cpu_seconds() - begin < 0.01);
}

TEST_CASE("workers run where they are placed and the owner gets its mask back") {
    cpu_set_t before;
    CPU_ZERO(&before);
    sched_getaffinity(0, sizeof before, &before);
    {
        const Topology topology = discover_topology();
        Team team(place_workers(topology, static_cast<int>(topology.cores.size())));
        std::vector<int> cpus(team.size(), -1);
        team.run([&](int worker_idx) { cpus[worker_idx] = sched_getcpu(); });
        for (int i = 0; i < team.size(); ++i) {
            CAPTURE(i);
            CHECK(cpus[i] == team.place(i).cpu);
        }
    }
    cpu_set_t after;
    CPU_ZERO(&after);
    sched_getaffinity(0, sizeof after, &after);
    CHECK(CPU_EQUAL(&before, &after));
}
