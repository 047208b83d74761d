#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>

namespace baltoro::kernels {

// Memory larger than the last-level cache, filled with random e4m3 codes (no NaN), in pages of 2 MB
// or, as a mapped checkpoint has it, 4 KB.
class Pool {
  public:
    // Throws Error if there is not that much memory.
    Pool(size_t n_bytes, bool huge_pages);
    ~Pool();
    Pool(const Pool&) = delete;
    Pool& operator=(const Pool&) = delete;
    const uint8_t* data() const { return data_; }
    size_t size_bytes() const { return n_bytes_; }

  private:
    size_t n_bytes_;
    uint8_t* data_;
};

// `cpu` counts the time a thread ran, for machines that do other work at the same time.
enum class Clock { wall, cpu };

// CPUs that this process may run on.
int n_allowed_cpus();

// Seconds that the slowest of n threads, pinned to the first n allowed CPUs, takes for
// `work(thread)`.
double seconds_on_threads(int n_threads, Clock clock, const std::function<void(int)>& work);

// Reads the pool once with each of a few prefetch distances; GB/s of the fastest, since none is
// best on every machine and at every hour.
double read_gb_s(const Pool& pool, int n_threads, Clock clock);

}  // namespace baltoro::kernels
