#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <thread>
#include <vector>

namespace baltoro::gpu_check {

// Threads that read memory together, as a team of the product reads experts: they spin between two
// reads. One owner thread, which reads along.
class HostReaders {
  public:
    // One thread per core.
    HostReaders();
    ~HostReaders();
    HostReaders(const HostReaders&) = delete;
    HostReaders& operator=(const HostReaders&) = delete;

    int n_threads() const noexcept { return n_threads_; }

    // Reads so many bytes that are in no cache.
    void read(std::size_t n_bytes);

  private:
    // More than any cache holds.
    static constexpr std::size_t kPoolBytes = std::size_t{4} << 30;

    void work(int thread_idx);
    void read_share(int thread_idx);

    int n_threads_;
    std::vector<std::uint64_t> pool_;
    std::size_t next_ = 0;     // word of the pool
    std::size_t n_words_ = 0;  // of this read
    alignas(64) std::atomic<std::uint32_t> n_reads_{0};
    alignas(64) std::atomic<std::uint32_t> n_done_{0};
    alignas(64) std::atomic<std::uint64_t> sum_{0};  // so that reads are not removed
    std::atomic<bool> stops_{false};
    std::vector<std::thread> threads_;  // last: they use the rest
};

}  // namespace baltoro::gpu_check
