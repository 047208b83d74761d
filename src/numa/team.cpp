#include "numa/team.h"

#include <atomic>
#include <chrono>
#include <cstdint>
#include <set>
#include <system_error>
#include <thread>

#include <fmt/format.h>
#include <pthread.h>
#include <sched.h>
#include <unistd.h>

#include "base/check.h"
#include "base/error.h"
#include "base/log.h"

namespace baltoro::numa {
namespace {

using Clock = std::chrono::steady_clock;

// Two lines, because adjacent-line prefetchers pull pairs.
constexpr std::size_t kLinePair = 128;

struct alignas(kLinePair) Counter {
    std::atomic<std::uint32_t> value{0};
};

// How a waiting worker passes the time: pausing for as long as the next phase may come soon, then
// asleep. When workers outnumber CPUs, spinning would only keep the awaited worker from running.
struct Patience {
    Clock::duration spin{};
    bool oversubscribed = false;
};

// Returns when `counter` is no longer `old`. What was written before the change is visible.
void wait_while_equal(const Counter& counter, std::uint32_t old, const Patience& patience) {
    constexpr int kPausesPerLook = 64;  // between looks at the clock: 1 to 3 us
    constexpr int kYields = 8;
    if (patience.oversubscribed) {
        for (int i = 0; i < kYields; ++i) {
            if (counter.value.load(std::memory_order_acquire) != old) return;
            sched_yield();
        }
    } else {
        const Clock::time_point begin = Clock::now();
        do {
            for (int i = 0; i < kPausesPerLook; ++i) {
                if (counter.value.load(std::memory_order_acquire) != old) return;
                __builtin_ia32_pause();
            }
        } while (Clock::now() - begin < patience.spin);
    }
    counter.value.wait(old, std::memory_order_acquire);
}

bool pin_thread(pid_t tid, int cpu) noexcept {
    cpu_set_t set;
    CPU_ZERO(&set);
    if (cpu >= CPU_SETSIZE) return false;
    CPU_SET(cpu, &set);
    return sched_setaffinity(tid, sizeof set, &set) == 0;
}

// Whether two workers share a CPU or, where they are not pinned, outnumber the CPUs.
bool outnumber_cpus(const std::vector<WorkerPlace>& places) {
    cpu_set_t allowed;
    CPU_ZERO(&allowed);
    const int n_allowed =
        sched_getaffinity(0, sizeof allowed, &allowed) == 0 ? CPU_COUNT(&allowed) : 1;
    std::set<int> pinned;
    for (const WorkerPlace& place : places) {
        if (place.cpu >= 0 && !pinned.insert(place.cpu).second) return true;
    }
    if (pinned.size() == places.size()) return false;
    return places.size() > static_cast<std::size_t>(n_allowed);
}

}  // namespace

struct Team::State {
    std::vector<WorkerPlace> places;
    Patience patience;
    std::vector<std::thread> threads;
    pid_t owner_tid = 0;
    cpu_set_t owner_mask{};
    bool owner_pinned = false;

    // Written by the owner before it advances `phase_number`.
    Phase phase = nullptr;
    void* context = nullptr;
    bool stopping = false;
    Counter phase_number;

    // The barrier: the last of `size` arrivals resets the count and advances the round.
    Counter n_arrived;
    Counter round;

    std::uint32_t size() const { return static_cast<std::uint32_t>(places.size()); }
    void pin(int worker_idx) const;
    void own();
    void disown() noexcept;
    void work(int worker_idx) noexcept;
    void start_phase() noexcept;
    bool arrive() noexcept;  // true for the last
    void barrier() noexcept;
    void stop() noexcept;
};

void Team::State::pin(int worker_idx) const {
    const int cpu = places[worker_idx].cpu;
    if (cpu < 0 || pin_thread(0, cpu)) return;
    log_warning(fmt::format(
        "worker {} cannot be pinned to CPU {}; it runs unpinned, perhaps slower", worker_idx, cpu));
}

void Team::State::own() {
    owner_tid = gettid();
    owner_pinned = places[0].cpu >= 0 && sched_getaffinity(0, sizeof owner_mask, &owner_mask) == 0;
}

void Team::State::disown() noexcept {
    if (owner_pinned) sched_setaffinity(owner_tid, sizeof owner_mask, &owner_mask);
}

bool Team::State::arrive() noexcept {
    // acq_rel: the last arrival has seen everybody's writes and passes them on through `round`.
    if (n_arrived.value.fetch_add(1, std::memory_order_acq_rel) + 1 != size()) return false;
    n_arrived.value.store(0, std::memory_order_relaxed);
    round.value.fetch_add(1, std::memory_order_acq_rel);
    round.value.notify_all();
    return true;
}

void Team::State::barrier() noexcept {
    const std::uint32_t this_round = round.value.load(std::memory_order_relaxed);
    if (!arrive()) wait_while_equal(round, this_round, patience);
}

void Team::State::start_phase() noexcept {
    phase_number.value.fetch_add(1, std::memory_order_acq_rel);
    phase_number.value.notify_all();
}

void Team::State::work(int worker_idx) noexcept {
    const std::string name = fmt::format("experts-{}", worker_idx);
    pthread_setname_np(pthread_self(), name.substr(0, 15).c_str());
    pin(worker_idx);
    for (std::uint32_t seen = 0;; ++seen) {
        wait_while_equal(phase_number, seen, patience);
        if (stopping) return;
        phase(context, worker_idx);
        // Only the owner waits for the others: it starts no phase before all have arrived, so the
        // barrier cannot be used again too early.
        arrive();
    }
}

void Team::State::stop() noexcept {
    stopping = true;
    start_phase();
    for (std::thread& thread : threads)
        thread.join();
    disown();
}

Team::Team(std::vector<WorkerPlace> places, int spin_ms) : state_(std::make_unique<State>()) {
    check(!places.empty(), "a team has at least one worker");
    state_->patience = {std::chrono::milliseconds(spin_ms), outnumber_cpus(places)};
    state_->places = std::move(places);
    state_->own();
    try {
        // Threads inherit the mask of their creator, so the owner pins itself last.
        for (int i = 1; i < size(); ++i)
            state_->threads.emplace_back([this, i] { state_->work(i); });
    } catch (const std::system_error& error) {
        state_->owner_pinned = false;
        state_->stop();
        throw Error(fmt::format("cannot start worker {} of {}: {}", state_->threads.size() + 1,
                                state_->places.size(), error.what()));
    }
    state_->pin(0);
}

Team::~Team() {
    state_->stop();
}

void Team::take_over() {
    if (state_->owner_tid == gettid()) return;
    state_->disown();
    state_->own();
    state_->pin(0);
}

int Team::size() const noexcept {
    return static_cast<int>(state_->places.size());
}

const WorkerPlace& Team::place(int worker_idx) const noexcept {
    return state_->places[worker_idx];
}

void Team::run(Phase phase, void* context) noexcept {
    if (size() == 1) {
        phase(context, 0);
        return;
    }
    state_->phase = phase;
    state_->context = context;
    state_->start_phase();
    phase(context, 0);
    state_->barrier();
}

void Team::barrier() noexcept {
    state_->barrier();
}

}  // namespace baltoro::numa
