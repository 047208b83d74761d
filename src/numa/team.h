#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <vector>

#include "numa/topology.h"

namespace baltoro::numa {

// Where one worker of a team runs.
struct WorkerPlace {
    int node_idx = 0;
    int cpu = -1;  // operating-system number it is pinned to; -1 = not pinned
};

// Spreads n_threads over the nodes' cores: contiguous worker numbers per node, physical cores
// before second hardware threads, wrapping (unpinned) when there are more threads than CPUs.
std::vector<WorkerPlace> place_workers(const Topology& topology, int n_threads);

// A fixed team of pinned worker threads that executes one function at a time on all of them. The
// thread that calls run() takes part as worker 0 (and is pinned for the life of the team), so a
// team of one starts no thread. Waiting workers spin for `spin_ms` and then sleep, so an idle team
// uses no CPU. One thread owns the team and calls run(); barrier() is called by workers inside
// run().
class Team {
  public:
    // A phase of work: called once per worker with its index. Must not throw.
    using Phase = void (*)(void* context, int worker_idx);

    explicit Team(std::vector<WorkerPlace> places, int spin_ms = 5);
    ~Team();
    Team(const Team&) = delete;
    Team& operator=(const Team&) = delete;

    // The calling thread becomes the owner, worker 0, and is pinned as the owner was. Not while
    // run() is under way.
    void take_over();

    int size() const noexcept;
    const WorkerPlace& place(int worker_idx) const noexcept;

    // Runs phase(context, i) on every worker i and returns when all have finished. Allocates
    // nothing.
    void run(Phase phase, void* context) noexcept;

    // run() for a callable `f(int worker_idx)`, which is not copied.
    template <typename F>
    void run(F&& f) noexcept {
        run(
            [](void* context, int worker_idx) {
                (*static_cast<std::remove_reference_t<F>*>(context))(worker_idx);
            },
            const_cast<void*>(static_cast<const void*>(&f)));
    }

    // Inside run(): returns when every worker has called it. Memory written before is visible
    // after.
    void barrier() noexcept;

  private:
    struct State;
    std::unique_ptr<State> state_;
};

// The part of [0, n) that falls to worker `idx` of `n_workers`, cut at multiples of `unit`.
struct Share {
    int begin = 0;
    int end = 0;
};
Share share_of(int n, int unit, int idx, int n_workers) noexcept;

}  // namespace baltoro::numa
