#include "numa/bandwidth.h"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <iterator>

#include <sys/mman.h>

#include "base/error.h"

namespace baltoro::numa {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kHugePage = std::size_t{2} << 20;
constexpr std::size_t kSmallPage = 4096;
// Bytes. What is best depends on the CPU: two Zen 5 cores read 42 GB/s with 512 and 78 with 4096.
constexpr std::size_t kPrefetchAhead[] = {512, 4096};
constexpr std::size_t kStep = 512;  // bytes per iteration: 8 independent 64-byte loads

using Words = std::uint64_t __attribute__((vector_size(64)));

// The exclusive-or of n_bytes (a multiple of kStep) at `data`, so that every load is needed.
// Inlined into one function per instruction set, since this file is compiled for the baseline.
__attribute__((always_inline)) inline std::uint64_t read_all(const std::byte* data,
                                                             std::size_t n_bytes,
                                                             std::size_t ahead) {
    Words sums[kStep / sizeof(Words)] = {};
    for (std::size_t at = 0; at < n_bytes; at += kStep) {
        const std::byte* block = data + at;
#pragma GCC unroll 8
        for (std::size_t i = 0; i < kStep / sizeof(Words); ++i) {
            __builtin_prefetch(block + ahead + i * sizeof(Words));
            sums[i] ^= *reinterpret_cast<const Words*>(block + i * sizeof(Words));
        }
    }
    std::uint64_t folded = 0;
    for (const Words& sum : sums)
        for (int lane = 0; lane < 8; ++lane)
            folded ^= sum[lane];
    return folded;
}

__attribute__((target("avx512f"))) std::uint64_t read_avx512(const std::byte* data,
                                                             std::size_t n_bytes,
                                                             std::size_t ahead) {
    return read_all(data, n_bytes, ahead);
}

__attribute__((target("avx2"))) std::uint64_t read_avx2(const std::byte* data,
                                                        std::size_t n_bytes,
                                                        std::size_t ahead) {
    return read_all(data, n_bytes, ahead);
}

std::uint64_t read_baseline(const std::byte* data, std::size_t n_bytes, std::size_t ahead) {
    return read_all(data, n_bytes, ahead);
}

using Reader = std::uint64_t (*)(const std::byte*, std::size_t, std::size_t);

Reader widest_reader() {
    if (__builtin_cpu_supports("avx512f")) return read_avx512;
    if (__builtin_cpu_supports("avx2")) return read_avx2;
    return read_baseline;
}

// Anonymous memory in 2 MB pages where the kernel grants them.
class Buffer {
  public:
    explicit Buffer(std::size_t size_bytes) : mapped_bytes_(size_bytes + kHugePage) {
        mapping_ = mmap(nullptr, mapped_bytes_, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (mapping_ == MAP_FAILED) throw system_error("map memory to measure bandwidth", errno);
        madvise(mapping_, mapped_bytes_, MADV_HUGEPAGE);
    }
    ~Buffer() { munmap(mapping_, mapped_bytes_); }
    Buffer(const Buffer&) = delete;
    Buffer& operator=(const Buffer&) = delete;

    std::byte* aligned() const {
        const auto address = reinterpret_cast<std::uintptr_t>(mapping_);
        return static_cast<std::byte*>(mapping_) + (kHugePage - address % kHugePage) % kHugePage;
    }

  private:
    std::size_t mapped_bytes_;
    void* mapping_;
};

// Memory per worker. Sixteen times a last-level cache in all, because caches keep a part of a
// pass for the next one (with 32 MB of cache, 128 MB seemed to be read at 113 GB/s, 512 MB and more
// at 80); never more than a gigabyte, which takes longer to touch than to read.
std::size_t bytes_per_worker(const Team& team, const Topology& topology) {
    constexpr std::size_t kLeastInAll = std::size_t{512} << 20;
    constexpr std::size_t kMostInAll = std::size_t{1} << 30;
    const auto n_workers = static_cast<std::size_t>(team.size());
    const std::size_t in_all =
        std::clamp(16 * topology.last_level_cache_bytes, kLeastInAll, kMostInAll);
    return (in_all / n_workers + kHugePage - 1) / kHugePage * kHugePage;
}

}  // namespace

double measure_read_bandwidth(Team& team, const Topology& topology, int budget_ms) {
    const Clock::time_point begin = Clock::now();
    const std::size_t slice_bytes = bytes_per_worker(team, topology);
    const std::size_t total_bytes = slice_bytes * static_cast<std::size_t>(team.size());
    const Buffer buffer(total_bytes);
    const Reader read = widest_reader();
    std::atomic<std::uint64_t> checksum{0};
    // Each worker touches its own slice first, so that it lies on its node.
    team.run([&](int worker_idx) {
        std::byte* slice = buffer.aligned() + slice_bytes * static_cast<std::size_t>(worker_idx);
        for (std::size_t at = 0; at < slice_bytes; at += kSmallPage)
            slice[at] = std::byte{1};
    });
    Clock::duration best = Clock::duration::max();
    Clock::time_point end;
    std::size_t pass = 0;
    // One pass with each distance; one more that starts now should still end in time.
    do {
        const std::size_t ahead = kPrefetchAhead[pass++ % std::size(kPrefetchAhead)];
        const Clock::time_point pass_begin = Clock::now();
        team.run([&](int worker_idx) {
            const std::byte* slice =
                buffer.aligned() + slice_bytes * static_cast<std::size_t>(worker_idx);
            checksum.fetch_xor(read(slice, slice_bytes, ahead), std::memory_order_relaxed);
        });
        end = Clock::now();
        best = std::min(best, end - pass_begin);
    } while (pass < std::size(kPrefetchAhead) ||
             end + 2 * best - begin < std::chrono::milliseconds(budget_ms));
    return static_cast<double>(total_bytes) / std::chrono::duration<double>(best).count();
}

}  // namespace baltoro::numa
