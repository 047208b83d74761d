#include "tests/gpu_check/bench/host_readers.h"

#include <algorithm>

namespace baltoro::gpu_check {

HostReaders::HostReaders()
    : n_threads_(static_cast<int>(std::max(1u, std::thread::hardware_concurrency()))),
      pool_(kPoolBytes / sizeof(std::uint64_t), 1) {
    for (int i = 1; i < n_threads_; i++)
        threads_.emplace_back([this, i] { work(i); });
}

HostReaders::~HostReaders() {
    stops_ = true;
    n_reads_++;
    for (std::thread& thread : threads_)
        thread.join();
}

void HostReaders::read(std::size_t n_bytes) {
    n_words_ = n_bytes / sizeof(std::uint64_t);
    if (next_ + n_words_ > pool_.size()) next_ = 0;
    n_done_.store(0, std::memory_order_relaxed);
    n_reads_.fetch_add(1, std::memory_order_release);
    read_share(0);
    while (n_done_.load(std::memory_order_acquire) + 1 < static_cast<std::uint32_t>(n_threads_))
        __builtin_ia32_pause();
    next_ += n_words_;
}

void HostReaders::work(int thread_idx) {
    for (std::uint32_t seen = 0;;) {
        while (n_reads_.load(std::memory_order_acquire) == seen)
            __builtin_ia32_pause();
        if (stops_) return;
        seen++;
        read_share(thread_idx);
        n_done_.fetch_add(1, std::memory_order_release);
    }
}

void HostReaders::read_share(int thread_idx) {
    const auto n = static_cast<std::size_t>(n_threads_);
    const auto i = static_cast<std::size_t>(thread_idx);
    const std::uint64_t* begin = pool_.data() + next_ + n_words_ * i / n;
    const std::uint64_t* end = pool_.data() + next_ + n_words_ * (i + 1) / n;
    std::uint64_t sums[8] = {};
    for (; begin + 8 <= end; begin += 8)
        for (int lane = 0; lane < 8; lane++)
            sums[lane] += begin[lane];
    std::uint64_t sum = 0;
    for (const std::uint64_t part : sums)
        sum += part;
    sum_.fetch_add(sum, std::memory_order_relaxed);
}

}  // namespace baltoro::gpu_check
