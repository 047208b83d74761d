#include "device/handoff.h"

#include <sched.h>

#include <atomic>
#include <new>
#include <utility>

#include "base/check.h"
#include "base/error.h"

namespace baltoro::device {
namespace {

constexpr std::size_t kCounterBytes = 2 * sizeof(std::uint32_t);

// Works between which the GPU does not wait for its next launches. A layer of prefill over a
// context of 128 k tokens has 140 launches; CUDA holds 1,024.
constexpr std::size_t kMostBegun = 4;

// Turns of the waiting loop between two looks at whether the GPU has failed.
constexpr int kTurnsPerLook = 1 << 14;
// Turns after which another thread may have the core: a GPU that is emulated needs one.
constexpr int kTurnsPerYield = 1 << 8;

// What a work is called that has so many before it.
int number_of(std::uint64_t n_before) {
    return static_cast<int>(static_cast<std::uint32_t>(n_before));
}

}  // namespace

Handoff::Handoff(GpuPlatform& platform)
    : platform_(platform),
      flags_memory_(platform, sizeof(Flags), MemoryKind::shared),
      counters_memory_(platform, kCounterBytes, MemoryKind::device),
      flags_(new (flags_memory_.data()) Flags{}),
      counters_(static_cast<std::uint32_t*>(counters_memory_.data())) {}

int Handoff::begin(const HostWork& work) {
    if (!is_held_ && works_.size() >= kMostBegun) serve_oldest();
    platform_.kernels().signal_host(platform_.stream(),
                                    {{&flags_->reached, &flags_->done, counters_, counters_ + 1}});
    works_.push_back(work);
    return number_of(n_begun_++);
}

void Handoff::end(int number) {
    check(number == number_of(n_ended_) && n_ended_ < n_begun_,
          "host work is ended in the order in which it began");
    n_ended_++;
    platform_.kernels().await_host(platform_.stream(),
                                   {{&flags_->reached, &flags_->done, counters_, counters_ + 1}});
}

void Handoff::serve() {
    while (!works_.empty())
        serve_oldest();
    if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
}

void Handoff::serve_oldest() noexcept {
    const HostWork work = works_.front();
    works_.pop_front();
    const std::uint64_t number = ++n_served_;
    try {
        wait_until_reached(number);
        if (!error_) work.run(work.context);
    } catch (...) {
        if (!error_) {
            error_ = std::current_exception();
            n_failed_ = number;
        }
    }
    raise_done(number);
}

void Handoff::forget() noexcept {
    works_.clear();
    n_begun_ = n_served_;
    n_ended_ = n_served_;
}

void Handoff::give_up_step() noexcept {
    while (n_served_ < n_before_step_)
        serve_oldest();
    const std::exception_ptr before = n_failed_ <= n_before_step_ ? error_ : nullptr;
    skip();
    error_ = before;
}

void Handoff::skip() noexcept {
    error_ = nullptr;
    works_.clear();
    n_served_ = n_begun_;
    raise_done(n_served_);
    // Every signal has its wait: the GPU counts both.
    try {
        while (n_ended_ < n_begun_)
            end(number_of(n_ended_));
    } catch (const Error&) {
        n_ended_ = n_begun_;  // a GPU that takes no more work waits for nobody
    }
}

void Handoff::wait_until_reached(std::uint64_t number) {
    const std::atomic_ref<std::uint32_t> reached(flags_->reached);
    const auto wanted = static_cast<std::uint32_t>(number);
    for (int turn = 1;
         static_cast<std::int32_t>(reached.load(std::memory_order_acquire) - wanted) < 0; turn++) {
        if (turn % kTurnsPerYield == 0) sched_yield();
        if (turn % kTurnsPerLook == 0) platform_.check_failure();
        __builtin_ia32_pause();
    }
}

void Handoff::raise_done(std::uint64_t number) noexcept {
    std::atomic_ref<std::uint32_t>(flags_->done)
        .store(static_cast<std::uint32_t>(number), std::memory_order_release);
}

}  // namespace baltoro::device
