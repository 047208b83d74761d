#pragma once

#include <cstdint>
#include <deque>
#include <exception>

#include "device/device.h"
#include "device/gpu_memory.h"
#include "device/gpu_platform.h"

namespace baltoro::device {

// Where a GPU and the host take turns. begin() queues a signal behind the GPU's work so far, end()
// a wait for the host; in between the GPU goes on by itself. Both flags are counters in shared
// memory that one side raises and the other spins on: no call-back, no lock. Some works after the
// oldest, begin() runs it, since a stream holds only so many launches: it would be full while the
// GPU waits for the host. Engine thread only.
class Handoff {
  public:
    // `platform` must outlive the object.
    explicit Handoff(GpuPlatform& platform);
    ~Handoff() = default;
    Handoff(const Handoff&) = delete;
    Handoff& operator=(const Handoff&) = delete;

    // See Device::begin_host_work().
    int begin(const HostWork& work);
    void end(int number);

    // Runs the works that have begun, each as soon as the GPU has come to it. When one throws, the
    // others are skipped, so that the GPU is not left waiting, and the exception goes on.
    void serve();

    // What follows is recorded, not queued, until let_go(): begin() runs no work meanwhile.
    void hold() noexcept { is_held_ = true; }
    void let_go() noexcept { is_held_ = false; }

    // Whether nothing has begun that is not served.
    bool is_idle() const noexcept { return works_.empty(); }

    // What has begun so far belongs to steps before.
    void begin_step() noexcept { n_before_step_ = n_begun_; }

    // Serves what steps before have begun, whose errors come out of the next serve(), and skips
    // what this one has.
    void give_up_step() noexcept;

    // Forgets what has begun since is_idle(): its signals and waits were recorded only, and the
    // recording is given up.
    void forget() noexcept;

    // Lets the GPU pass everything that has begun, without the work.
    void skip() noexcept;

  private:
    // Each on a cache line of its own.
    struct Flags {
        alignas(64) std::uint32_t reached;  // raised by the GPU
        alignas(64) std::uint32_t done;     // raised by the host
    };

    void serve_oldest() noexcept;
    void wait_until_reached(std::uint64_t number);
    void raise_done(std::uint64_t number) noexcept;

    GpuPlatform& platform_;
    GpuMemory flags_memory_;  // shared
    GpuMemory counters_memory_;
    Flags* flags_;
    std::uint32_t* counters_;  // signals, waits
    // The flags, and the numbers given out, have the lower bits of these.
    std::uint64_t n_begun_ = 0;
    std::uint64_t n_ended_ = 0;
    std::uint64_t n_served_ = 0;
    std::uint64_t n_before_step_ = 0;  // of those begun
    std::deque<HostWork> works_;       // begun and not yet served
    std::exception_ptr error_;         // of a work; thrown by serve()
    std::uint64_t n_failed_ = 0;       // the work's place among those served, from 1
    bool is_held_ = false;
};

}  // namespace baltoro::device
