#include "tests/cpu_kernels/bench_pool.h"

#include <emmintrin.h>
#include <sched.h>
#include <sys/mman.h>
#include <time.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <thread>
#include <vector>

#include "base/check.h"
#include "base/error.h"
#include "base/float_formats.h"
#include "base/random.h"

namespace baltoro::kernels {
namespace {

constexpr size_t kHugePage = size_t{2} << 20;

cpu_set_t allowed_cpus() {
    cpu_set_t set;
    CPU_ZERO(&set);
    check(sched_getaffinity(0, sizeof set, &set) == 0, "a process may ask where it runs");
    return set;
}

// Pins the calling thread to the nth CPU of the set.
void pin_to_nth(const cpu_set_t& allowed, int n) {
    int cpu = 0;
    while (!CPU_ISSET(cpu, &allowed) || n-- > 0)
        ++cpu;
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    sched_setaffinity(0, sizeof set, &set);
}

double now(Clock clock) {
    timespec t{};
    clock_gettime(clock == Clock::wall ? CLOCK_MONOTONIC : CLOCK_THREAD_CPUTIME_ID, &t);
    return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

// Bytes. A prefetch close ahead gets in the way of the CPU's own (42 GB/s with 512, 78 with 4096 on
// two Zen 5 cores at their fastest); while the machine gave 47 GB/s every distance read the same.
constexpr size_t kReadAhead[] = {0, 1024, 4096};

int64_t read_all(const uint8_t* from, size_t n_bytes, size_t ahead) {
    __m128i sum[4] = {};
    for (size_t at = 0; at + 64 <= n_bytes; at += 64) {
        _mm_prefetch(reinterpret_cast<const char*>(from + at + ahead), _MM_HINT_T0);
        for (size_t v = 0; v < 4; ++v)
            sum[v] = _mm_xor_si128(
                sum[v], _mm_load_si128(reinterpret_cast<const __m128i*>(from + at + 16 * v)));
    }
    return _mm_cvtsi128_si64(
        _mm_xor_si128(_mm_xor_si128(sum[0], sum[1]), _mm_xor_si128(sum[2], sum[3])));
}

}  // namespace

Pool::Pool(size_t n_bytes, bool huge_pages) : n_bytes_(n_bytes) {
    void* at = mmap(nullptr, n_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED) throw system_error("cannot map the weights of the benchmark", errno);
    madvise(at, n_bytes, huge_pages ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
    data_ = static_cast<uint8_t*>(at);
    Random random(1);
    // As a checkpoint holds them: normal weights, the largest of a scale block at 448.
    for (size_t i = 0; i < kHugePage; ++i)
        data_[i] = e4m3_from_float(static_cast<float>(112.0 * random.normal()));
    for (size_t i = kHugePage; i < n_bytes; i += kHugePage)
        std::memcpy(data_ + i, data_, n_bytes - i < kHugePage ? n_bytes - i : kHugePage);
}

Pool::~Pool() {
    munmap(data_, n_bytes_);
}

int n_allowed_cpus() {
    const cpu_set_t set = allowed_cpus();
    return CPU_COUNT(&set);
}

double seconds_on_threads(int n_threads, Clock clock, const std::function<void(int)>& work) {
    const cpu_set_t allowed = allowed_cpus();
    std::vector<double> seconds(static_cast<size_t>(n_threads));
    std::atomic<int> n_ready{0};
    std::atomic<bool> go{false};
    std::vector<std::thread> threads;
    for (int t = 0; t < n_threads; ++t)
        threads.emplace_back([&, t] {
            pin_to_nth(allowed, t);
            ++n_ready;
            while (!go.load(std::memory_order_acquire))
                std::this_thread::yield();
            const double begin = now(clock);
            work(t);
            seconds[static_cast<size_t>(t)] = now(clock) - begin;
        });
    while (n_ready.load() < n_threads)
        std::this_thread::yield();
    go.store(true, std::memory_order_release);
    for (std::thread& thread : threads)
        thread.join();
    return *std::max_element(seconds.begin(), seconds.end());
}

double read_gb_s(const Pool& pool, int n_threads, Clock clock) {
    const size_t share = pool.size_bytes() / static_cast<size_t>(n_threads) / 64 * 64;
    std::atomic<int64_t> sink{0};
    double least_seconds = 0;
    for (const size_t ahead : kReadAhead) {
        const double seconds = seconds_on_threads(n_threads, clock, [&](int t) {
            sink += read_all(pool.data() + static_cast<size_t>(t) * share, share, ahead);
        });
        least_seconds = least_seconds == 0 ? seconds : std::min(least_seconds, seconds);
    }
    return static_cast<double>(share) * n_threads / least_seconds * 1e-9;
}

}  // namespace baltoro::kernels
