#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "gpu_kernels/simt/emulator.h"

namespace baltoro::simt {

struct EmulatedStreamOptions {
    EmulatorOptions emulator;
    bool is_asynchronous = false;  // a worker thread executes; otherwise enqueue() does
    int max_delay_us = 0;          // before an entry is executed: random, up to this
    // enqueue() waits while so many entries are queued; CUDA's launches wait likewise.
    std::size_t most_queued = 1024;
};

// Executes entries in the order in which they are queued. enqueue() and wait() from one thread.
class EmulatedStream {
  public:
    using Entry = std::function<void(Emulator&)>;

    explicit EmulatedStream(const EmulatedStreamOptions& options = {});
    // Waits for what is queued; an error nobody waited for is lost.
    ~EmulatedStream();
    EmulatedStream(const EmulatedStream&) = delete;
    EmulatedStream& operator=(const EmulatedStream&) = delete;

    Stream* handle() noexcept { return reinterpret_cast<Stream*>(this); }
    static EmulatedStream& of(Stream* stream) noexcept {
        return *reinterpret_cast<EmulatedStream*>(stream);
    }

    // After an entry has thrown, those behind it are dropped. Throws KernelError if there is no
    // room for a minute.
    void enqueue(Entry entry);
    // All of them, as one that takes no room. The entries are not changed, and shared until
    // executed.
    void enqueue_all(const std::shared_ptr<const std::vector<Entry>>& entries);
    // Between these two, entries are kept instead of executed. From the thread of enqueue().
    void begin_recording() { is_recording_ = true; }
    std::vector<Entry> end_recording();
    // Returns when everything queued has been executed; throws the first error once.
    void wait();
    // An entry has thrown, and nobody has waited since.
    bool has_failed();
    // Nothing is queued or being executed.
    bool is_idle();

  private:
    void work();
    void execute(Entry& entry) noexcept;

    EmulatedStreamOptions options_;
    Emulator emulator_;
    std::uint64_t delay_state_;
    bool is_recording_ = false;
    std::vector<Entry> recorded_;
    std::exception_ptr error_;
    std::mutex mutex_;  // guards what follows, and error_
    std::condition_variable changed_;
    std::deque<Entry> entries_;
    bool is_busy_ = false;
    bool stops_ = false;
    std::thread worker_;  // last: it uses the rest
};

}  // namespace baltoro::simt
