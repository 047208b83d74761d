#include "gpu_kernels/simt/emulated_stream.h"

#include <chrono>
#include <utility>

namespace baltoro::simt {

EmulatedStream::EmulatedStream(const EmulatedStreamOptions& options)
    : options_(options),
      emulator_(options.emulator),
      delay_state_(options.emulator.seed * 2862933555777941757u + 3037000493u) {
    if (options_.is_asynchronous) worker_ = std::thread([this] { work(); });
}

EmulatedStream::~EmulatedStream() {
    if (!worker_.joinable()) return;
    {
        const std::lock_guard lock(mutex_);
        stops_ = true;
    }
    changed_.notify_all();
    worker_.join();
}

void EmulatedStream::enqueue(Entry entry) {
    if (is_recording_) return recorded_.push_back(std::move(entry));
    if (!options_.is_asynchronous) return execute(entry);
    {
        std::unique_lock lock(mutex_);
        if (!changed_.wait_for(lock, std::chrono::minutes(1),
                               [this] { return entries_.size() < options_.most_queued; }))
            throw KernelError("the stream is full and stands still: does it wait for its caller?");
        entries_.push_back(std::move(entry));
    }
    changed_.notify_all();
}

void EmulatedStream::enqueue_all(const std::shared_ptr<const std::vector<Entry>>& entries) {
    for (std::size_t i = 0; i < entries->size(); i++) {
        Entry entry = [entries, i](Emulator& emulator) { (*entries)[i](emulator); };
        if (!options_.is_asynchronous) {
            execute(entry);
            continue;
        }
        const std::lock_guard lock(mutex_);
        entries_.push_back(std::move(entry));
    }
    changed_.notify_all();
}

std::vector<EmulatedStream::Entry> EmulatedStream::end_recording() {
    is_recording_ = false;
    return std::exchange(recorded_, {});
}

void EmulatedStream::wait() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return entries_.empty() && !is_busy_; });
    if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
}

bool EmulatedStream::has_failed() {
    const std::lock_guard lock(mutex_);
    return error_ != nullptr;
}

bool EmulatedStream::is_idle() {
    const std::lock_guard lock(mutex_);
    return entries_.empty() && !is_busy_;
}

void EmulatedStream::work() {
    std::unique_lock lock(mutex_);
    while (true) {
        changed_.wait(lock, [this] { return !entries_.empty() || stops_; });
        if (entries_.empty()) return;
        Entry entry = std::move(entries_.front());
        entries_.pop_front();
        is_busy_ = true;
        lock.unlock();
        changed_.notify_all();
        execute(entry);
        lock.lock();
        is_busy_ = false;
        if (entries_.empty()) changed_.notify_all();
    }
}

void EmulatedStream::execute(Entry& entry) noexcept {
    {
        const std::lock_guard lock(mutex_);
        if (error_) return;
    }
    if (options_.max_delay_us > 0) {
        delay_state_ = delay_state_ * 6364136223846793005u + 1442695040888963407u;
        const auto limit = static_cast<std::uint64_t>(options_.max_delay_us) + 1;
        std::this_thread::sleep_for(std::chrono::microseconds((delay_state_ >> 33) % limit));
    }
    try {
        entry(emulator_);
    } catch (...) {
        const std::lock_guard lock(mutex_);
        error_ = std::current_exception();
    }
}

}  // namespace baltoro::simt
