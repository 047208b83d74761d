// The emulator itself: what it lets lanes exchange, and which mistakes of a kernel it reports.

#include <sys/mman.h>

#include <algorithm>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "gpu_kernels/simt/simt.h"

namespace baltoro::simt {
namespace {

struct IntArgs {
    int* dst;
    int n;
};

void run(void (*kernel)(IntArgs),
         const Shape& shape,
         IntArgs args,
         LaneOrder order,
         WarpPace pace = WarpPace::in_step) {
    EmulatedStream stream({{order, 7, pace}, false, 0});
    launch<NoShared>(stream.handle(), shape, kernel, args);
    stream.wait();
}

std::string failure_of(void (*kernel)(IntArgs),
                       LaneOrder order = LaneOrder::forward,
                       WarpPace pace = WarpPace::in_step) {
    std::vector<int> dst(1024);
    try {
        run(kernel, {{1}, {64}}, {dst.data(), 64}, order, pace);
    } catch (const KernelError& error) {
        return error.what();
    }
    return "";
}

__global__ void write_indices(IntArgs args) {
    const int idx = static_cast<int>(
        ((blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x) * blockDim.x * blockDim.y +
        threadIdx.y * blockDim.x + threadIdx.x);
    args.dst[idx] = idx;
}

TEST_CASE("every thread of a grid runs once, with its own indices") {
    std::vector<int> dst(2 * 3 * 2 * 40 * 2, -1);
    run(write_indices, {{2, 3, 2}, {40, 2}}, {dst.data(), 0}, LaneOrder::shuffled);
    for (std::size_t i = 0; i < dst.size(); i++)
        CHECK(dst[i] == static_cast<int>(i));
}

struct ExchangeShared {
    int values[64];
};

__global__ void reverse_through_shared(IntArgs args) {
    ExchangeShared& shared = simt::shared<ExchangeShared>();
    shared.values[threadIdx.x] = static_cast<int>(threadIdx.x);
    __syncthreads();
    args.dst[threadIdx.x] = shared.values[63 - threadIdx.x];
}

__global__ void reverse_without_barrier(IntArgs args) {
    ExchangeShared& shared = simt::shared<ExchangeShared>();
    shared.values[threadIdx.x] = static_cast<int>(threadIdx.x);
    args.dst[threadIdx.x] = shared.values[63 - threadIdx.x];
}

bool reverses(void (*kernel)(IntArgs), LaneOrder order) {
    std::vector<int> dst(64);
    EmulatedStream stream({{order, 7}, false, 0});
    launch<ExchangeShared>(stream.handle(), {{1}, {64}}, kernel, IntArgs{dst.data(), 64});
    stream.wait();
    for (int i = 0; i < 64; i++)
        if (dst[static_cast<std::size_t>(i)] != 63 - i) return false;
    return true;
}

TEST_CASE("a barrier makes shared memory visible, and a missing one shows in every lane order") {
    for (const LaneOrder order : {LaneOrder::forward, LaneOrder::reversed, LaneOrder::shuffled}) {
        CHECK(reverses(reverse_through_shared, order));
        CHECK_FALSE(reverses(reverse_without_barrier, order));
    }
}

__global__ void half_at_barrier(IntArgs) {
    if (threadIdx.x < 32) __syncthreads();
}

// Every warp shows its turn to the next, round after round, in one place: the second barrier keeps
// a warp from writing the next turn before it was read.
template <bool kHasSecondBarrier>
__global__ void pass_turns(IntArgs args) {
    ExchangeShared& shared = simt::shared<ExchangeShared>();
    const int warp = static_cast<int>(threadIdx.x / 32);
    int n_right = 0;
    for (int turn = 0; turn < args.n; turn++) {
        if (threadIdx.x % 32 == 0) shared.values[warp] = turn;
        __syncthreads();
        n_right += shared.values[1 - warp] == turn ? 1 : 0;
        if (kHasSecondBarrier) __syncthreads();
    }
    args.dst[threadIdx.x] = n_right;
}

template <bool kHasSecondBarrier>
bool passes_turns(WarpPace pace) {
    std::vector<int> dst(64);
    EmulatedStream stream({{LaneOrder::forward, 7, pace}, false, 0});
    launch<ExchangeShared>(stream.handle(), {{1}, {64}}, pass_turns<kHasSecondBarrier>,
                           IntArgs{dst.data(), 5});
    stream.wait();
    return std::all_of(dst.begin(), dst.end(), [](int n_right) { return n_right == 5; });
}

TEST_CASE("a barrier that keeps one warp from running ahead is missed when one does") {
    for (const WarpPace pace : {WarpPace::in_step, WarpPace::one_ahead, WarpPace::one_behind}) {
        CAPTURE(static_cast<int>(pace));
        CHECK(passes_turns<true>(pace));
        CHECK(failure_of(half_at_barrier, LaneOrder::forward, pace) ==
              "divergent block (0, 0, 0): thread 0 waits at __syncthreads; thread 32 has returned");
    }
    CHECK_FALSE(passes_turns<false>(WarpPace::one_ahead));
    CHECK_FALSE(passes_turns<false>(WarpPace::one_behind));
}

__global__ void exchange_in_warp(IntArgs args) {
    const int lane = static_cast<int>(threadIdx.x % 32);
    int sum = lane;
    for (int d = 16; d > 0; d /= 2)
        sum += __shfl_xor_sync(0xffffffffu, sum, d);
    const int from_above = __shfl_down_sync(0xffffffffu, lane, 3u);
    const uint32_t odd = __ballot_sync(0xffffffffu, lane % 2);
    const int broadcast = __shfl_sync(0xffffffffu, lane * 10, 5);
    args.dst[threadIdx.x] =
        sum + 1000 * from_above + (odd == 0xaaaaaaaau ? 100000 : 0) + 1000000 * broadcast;
}

TEST_CASE("warps shuffle and vote") {
    std::vector<int> dst(64);
    run(exchange_in_warp, {{1}, {64}}, {dst.data(), 64}, LaneOrder::shuffled);
    for (int i = 0; i < 64; i++) {
        const int lane = i % 32;
        const int above = lane + 3 < 32 ? lane + 3 : lane;
        CHECK(dst[static_cast<std::size_t>(i)] == 496 + 1000 * above + 100000 + 50000000);
    }
}

__global__ void meets_differently(IntArgs) {
    if (threadIdx.x < 3)
        __syncwarp();
    else
        (void)__ballot_sync(0xffffffffu, 1);
}
__global__ void outside_its_mask(IntArgs) {
    (void)__shfl_sync(0x1u, 3, 0);
}
__global__ void reads_outside_mask(IntArgs) {
    if (threadIdx.x < 16) (void)__shfl_sync(0xffffu, 3, 20);
}
__global__ void misaligned(IntArgs args) {
    (void)load16<U32x4>(args.dst + 1 + (reinterpret_cast<uintptr_t>(args.dst) % 16) / 4);
}

TEST_CASE("a kernel's mistakes end the launch with a report") {
    CHECK(failure_of(half_at_barrier) ==
          "divergent block (0, 0, 0): thread 0 waits at __syncthreads; thread 32 has returned");
    CHECK(failure_of(meets_differently).find("thread 3 waits at a ballot") != std::string::npos);
    CHECK(failure_of(outside_its_mask).find("mask leaves it out") != std::string::npos);
    CHECK(failure_of(reads_outside_mask).find("outside its mask") != std::string::npos);
    CHECK(failure_of(misaligned).find("load16 of a misaligned address") != std::string::npos);
}

struct LargestShared {
    char bytes[99 << 10];
};
struct TooLargeShared {
    char bytes[(99 << 10) + 1];
};
__global__ void return_at_once(IntArgs) {}

template <typename Shared>
std::string failure_of_launch(const Shape& shape) {
    EmulatedStream stream;
    launch<Shared>(stream.handle(), shape, return_at_once, IntArgs{nullptr, 0});
    try {
        stream.wait();
    } catch (const KernelError& error) {
        return error.what();
    }
    return "";
}

TEST_CASE("what a GPU cannot launch ends with the limit") {
    CHECK(failure_of_launch<LargestShared>({{2, 65535}, {1}}).empty());
    CHECK(failure_of_launch<TooLargeShared>({{1}, {1}}) ==
          "101377 bytes of shared memory (101376 are possible on every GPU)");
    CHECK(failure_of_launch<NoShared>({{1, 65536}, {1}}) ==
          "a grid of 1 x 65536 x 1 blocks (2147483647 x 65535 x 65535 are possible)");
    CHECK(failure_of_launch<NoShared>({{1}, {32, 33}}) ==
          "a block of 1056 threads (1 to 1024 are possible)");
}

TEST_CASE("a stream runs on after a failed launch was reported") {
    EmulatedStream stream;
    std::vector<int> dst(64);
    launch<NoShared>(stream.handle(), {{1}, {64}}, half_at_barrier, IntArgs{dst.data(), 64});
    CHECK_THROWS_AS(stream.wait(), KernelError);
    launch<NoShared>(stream.handle(), {{1}, {64}}, write_indices, IntArgs{dst.data(), 64});
    stream.wait();
    CHECK(dst[63] == 63);
}

TEST_CASE("memory that held the stacks of threads can be used for other things") {
    for (int i = 0; i < 3; i++) {
        std::vector<int> dst(1024);
        run(write_indices, {{1}, {1024}}, {dst.data(), 0}, LaneOrder::forward);
        // Of the size of many stacks, so that it is likely to lie where they lay; address sanitizer
        // would report what is left of their frames.
        constexpr std::size_t kBytes = std::size_t{64} << 20;
        void* memory =
            mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        REQUIRE(memory != MAP_FAILED);
        memset(memory, i, kBytes);
        CHECK(static_cast<unsigned char*>(memory)[kBytes - 1] == i);
        munmap(memory, kBytes);
    }
}

struct PoisonShared {
    float value;
    int index;
};
__global__ void read_unwritten(IntArgs args) {
    PoisonShared& shared = simt::shared<PoisonShared>();
    args.dst[0] = isnan(shared.value) ? 1 : 0;
    args.dst[1] = shared.index;
    shared.value = 0.0f;
    shared.index = 5;
}

TEST_CASE("shared memory is poison until it is written, in every block anew") {
    int dst[2] = {};
    EmulatedStream stream;
    for (int i = 0; i < 2; i++)
        launch<PoisonShared>(stream.handle(), {{2}, {1}}, read_unwritten, IntArgs{dst, 0});
    stream.wait();
    CHECK(dst[0] == 1);
    CHECK(dst[1] == -1);
}

struct CopyShared {
    alignas(16) float values[64 * 4];
};
struct CopyArgs {
    const float* src;
    float* dst;
    int mode;
};
// mode 0: waits for both groups; 1: only for the first; 2: the second is not valid.
__global__ void copy_asynchronously(CopyArgs args) {
    CopyShared& shared = simt::shared<CopyShared>();
    const int t = static_cast<int>(threadIdx.x);
    async_copy16(&shared.values[t * 4], args.src + t * 4);
    async_commit();
    async_copy16(&shared.values[(t + 32) * 4], args.src + (t + 32) * 4, args.mode != 2);
    async_commit();
    if (args.mode == 1)
        async_wait<1>();
    else
        async_wait<0>();
    __syncthreads();
    for (int i = t; i < 256; i += 32)
        args.dst[i] = shared.values[i];
}

TEST_CASE("asynchronous copies arrive at the wait for their group") {
    std::vector<float> src(256);
    for (std::size_t i = 0; i < 256; i++)
        src[i] = static_cast<float>(i + 1);
    std::vector<float> dst(256);
    const auto copied = [&](int mode) {
        EmulatedStream stream;
        launch<CopyShared>(stream.handle(), {{1}, {32}}, copy_asynchronously,
                           CopyArgs{src.data(), dst.data(), mode});
        stream.wait();
        return dst[200];
    };
    CHECK(copied(0) == 201.0f);
    CHECK(std::isnan(copied(1)));
    CHECK(dst[100] == 101.0f);
    CHECK(copied(2) == 0.0f);
}

struct MmaShared {
    alignas(16) bf16_t a[16][16];
    alignas(16) bf16_t b[8][16];       // by column
    alignas(16) bf16_t b_rows[16][8];  // by row
};
struct MmaArgs {
    const bf16_t* a;
    const bf16_t* b;
    float* dst;
    int transposed;
};
__global__ void multiply(MmaArgs args) {
    MmaShared& shared = simt::shared<MmaShared>();
    const int lane = static_cast<int>(threadIdx.x);
    for (int i = lane; i < 256; i += 32)
        shared.a[i / 16][i % 16] = args.a[i];
    for (int i = lane; i < 128; i += 32) {
        shared.b[i / 16][i % 16] = args.b[i];
        shared.b_rows[i % 16][i / 16] = args.b[i];
    }
    __syncthreads();
    uint32_t a[4];
    ldmatrix_x4(a, &shared.a[lane % 16][lane / 16 * 8]);
    uint32_t four[4];
    if (args.transposed != 0)
        ldmatrix_x4_transposed(four, &shared.b_rows[lane % 16][0]);
    else
        ldmatrix_x4(four, &shared.b[lane % 8][lane / 8 % 2 * 8]);
    const uint32_t b[2] = {four[0], four[1]};
    float d[4] = {1.0f, 1.0f, 1.0f, 1.0f};
    mma_bf16_16x8x16(d, a, b);
    const int g = lane / 4;
    const int t = lane % 4;
    args.dst[g * 8 + 2 * t] = d[0];
    args.dst[g * 8 + 2 * t + 1] = d[1];
    args.dst[(g + 8) * 8 + 2 * t] = d[2];
    args.dst[(g + 8) * 8 + 2 * t + 1] = d[3];
}

TEST_CASE("ldmatrix and mma multiply a 16 x 16 by a 16 x 8 matrix") {
    std::vector<bf16_t> a(256);
    std::vector<bf16_t> b(128);
    for (std::size_t i = 0; i < 256; i++)
        a[i] = bf16_from_float(static_cast<float>(static_cast<int>(i * 7 % 31) - 15));
    for (std::size_t i = 0; i < 128; i++)
        b[i] = bf16_from_float(static_cast<float>(static_cast<int>(i * 5 % 23) - 11));
    for (int transposed = 0; transposed < 2; transposed++) {
        std::vector<float> dst(128);
        EmulatedStream stream({{LaneOrder::shuffled, 3}, true, 0});
        launch<MmaShared>(stream.handle(), {{1}, {32}}, multiply,
                          MmaArgs{a.data(), b.data(), dst.data(), transposed});
        stream.wait();
        for (std::size_t i = 0; i < 16; i++) {
            for (std::size_t j = 0; j < 8; j++) {
                float sum = 1.0f;
                for (std::size_t k = 0; k < 16; k++)
                    sum += float_from_bf16(a[i * 16 + k]) * float_from_bf16(b[j * 16 + k]);
                CHECK(dst[i * 8 + j] == sum);
            }
        }
    }
}

}  // namespace
}  // namespace baltoro::simt
