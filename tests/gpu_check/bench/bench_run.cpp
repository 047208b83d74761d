#include "tests/gpu_check/bench/bench_run.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "base/random.h"
#include "device/cuda_call.h"
#include "device/cuda_platform.h"
#include "tests/gpu_check/sides.h"

namespace baltoro::gpu_check {
namespace {

using device::require_cuda;

constexpr int kWarmUps = 3;
constexpr int kRounds = 21;
constexpr std::size_t kPatternBytes = std::size_t{16} << 20;

template <typename T, typename Make>
std::vector<T> pattern_of(const Make& make) {
    Random random(1);
    std::vector<T> values(kPatternBytes / sizeof(T));
    for (T& value : values)
        value = make(random);
    return values;
}

float any_f32(Random& random) {
    return static_cast<float>(2 * random.uniform() - 1);
}

bf16_t any_bf16(Random& random) {
    return bf16_from_float(any_f32(random));
}

// Every code but NaN.
e4m3_t any_fp8(Random& random) {
    const auto code = static_cast<e4m3_t>(random.next() >> 56);
    return (code & 0x7f) == 0x7f ? static_cast<e4m3_t>(code - 1) : code;
}

// The calls of one measurement as an executable graph; with the events around it.
class TimedGraph {
  public:
    TimedGraph(cudaStream_t stream, int n_calls, const std::function<void(int)>& queue)
        : stream_(stream) {
        require_cuda(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "capture");
        try {
            for (int i = 0; i < n_calls; i++)
                queue(i);
        } catch (...) {
            cudaStreamEndCapture(stream, &graph_);
            if (graph_ != nullptr) cudaGraphDestroy(graph_);
            cudaGetLastError();
            throw;
        }
        require_cuda(cudaStreamEndCapture(stream, &graph_), "capture");
        require_cuda(cudaGraphInstantiate(&executable_, graph_, 0), "a graph");
        require_cuda(cudaEventCreate(&begin_), "an event");
        require_cuda(cudaEventCreate(&end_), "an event");
    }
    ~TimedGraph() {
        if (executable_ != nullptr) cudaGraphExecDestroy(executable_);
        if (graph_ != nullptr) cudaGraphDestroy(graph_);
        if (begin_ != nullptr) cudaEventDestroy(begin_);
        if (end_ != nullptr) cudaEventDestroy(end_);
    }
    TimedGraph(const TimedGraph&) = delete;
    TimedGraph& operator=(const TimedGraph&) = delete;

    double launch_us(const std::function<void()>& beside) {
        require_cuda(cudaEventRecord(begin_, stream_), "an event");
        require_cuda(cudaGraphLaunch(executable_, stream_), "a graph's launch");
        require_cuda(cudaEventRecord(end_, stream_), "an event");
        beside();
        require_cuda(cudaEventSynchronize(end_), "a measurement");
        float milliseconds = 0;
        require_cuda(cudaEventElapsedTime(&milliseconds, begin_, end_), "an event");
        return static_cast<double>(milliseconds) * 1e3;
    }

  private:
    cudaStream_t stream_;
    cudaGraph_t graph_ = nullptr;
    cudaGraphExec_t executable_ = nullptr;
    cudaEvent_t begin_ = nullptr;
    cudaEvent_t end_ = nullptr;
};

std::size_t l2_bytes_of(int gpu_idx) {
    int size_bytes = 0;
    require_cuda(cudaDeviceGetAttribute(&size_bytes, cudaDevAttrL2CacheSize, gpu_idx),
                 "the size of the cache");
    return static_cast<std::size_t>(size_bytes);
}

}  // namespace

BenchRun::BenchRun(int gpu_idx)
    : gpu_idx_(gpu_idx),
      platform_(device::make_cuda_platform({gpu_idx})),
      l2_bytes_(l2_bytes_of(gpu_idx)),
      f32_pattern_(upload(pattern_of<float>(any_f32))),
      bf16_pattern_(upload(pattern_of<bf16_t>(any_bf16))),
      fp8_pattern_(upload(pattern_of<e4m3_t>(any_fp8))) {
    report_.gpu = platform_->describe();
}

int BenchRun::cold_copies(double size_bytes) const {
    return std::max(2, static_cast<int>(std::ceil(static_cast<double>(cold_bytes()) /
                                                  std::max(size_bytes, 1.0))));
}

void BenchRun::fill(BenchMemory& memory, const BenchMemory& pattern) {
    for (std::size_t filled = 0; filled < memory.size_bytes();) {
        const std::size_t n = std::min(pattern.size_bytes(), memory.size_bytes() - filled);
        platform_->copy_within(memory.as<std::byte>() + filled, pattern.as<void>(), n);
        filled += n;
    }
}

BenchMemory BenchRun::random_f32(std::size_t n) {
    BenchMemory memory(*platform_, n * sizeof(float));
    fill(memory, f32_pattern_);
    return memory;
}

BenchMemory BenchRun::random_bf16(std::size_t n) {
    BenchMemory memory(*platform_, n * sizeof(bf16_t));
    fill(memory, bf16_pattern_);
    return memory;
}

BenchWeight BenchRun::random_fp8(int n, int k) {
    BenchMemory data(*platform_, static_cast<std::size_t>(n) * static_cast<std::size_t>(k));
    fill(data, fp8_pattern_);
    BenchMemory scale = random_f32(static_cast<std::size_t>((n + 127) / 128) *
                                   static_cast<std::size_t>((k + 127) / 128));
    const gpu::Weight weight{data.as<void>(), scale.as<float>(), n, k,
                             gpu::WeightFormat::fp8_block};
    return {std::move(data), std::move(scale), weight};
}

Spread BenchRun::time_calls(int n_calls,
                            const std::function<void(int)>& queue,
                            const std::function<void()>& beside) {
    platform_->wait();
    TimedGraph graph(cuda_stream(), n_calls, queue);
    std::vector<double> times_us;
    for (int round = 0; round < kWarmUps + kRounds; round++) {
        const double time_us = graph.launch_us(beside) / n_calls;
        if (round >= kWarmUps) times_us.push_back(time_us);
    }
    return spread_of(std::move(times_us));
}

// Large enough that starting it does not count.
void bench_copy(BenchRun& run) {
    const std::size_t size = std::max(run.cold_bytes(), std::size_t{1} << 30);
    const BenchMemory src = run.random_f32(size / sizeof(float));
    const BenchMemory dst = run.zeros(size);
    const Spread time = run.time_calls(4, [&](int /*i*/) {
        require_cuda(cudaMemcpyAsync(dst.as<void>(), src.as<void>(), size, cudaMemcpyDeviceToDevice,
                                     run.cuda_stream()),
                     "a copy");
    });
    const double rate = 2 * static_cast<double>(size) / (time.median_us * 1e-6);
    run.report().copy_bytes_per_s = rate;
    run.report().add(
        {fmt::format("copy of {:.2f} GB within the GPU", static_cast<double>(size) * 1e-9),
         time,
         fmt::format("{:.2f} TB/s", rate * 1e-12),
         {},
         {},
         {}});
}

void run_bench(const BenchOptions& options) {
    BenchRun run(options.gpu_idx);
    print_head(run.report());
    bench_copy(run);
    bench_matrix_rate(run);
    bench_products(run);
    bench_panels(run);
    bench_decode_attention(run);
    bench_handoff(run);
    bench_decode_step(run);
    bench_prefill_attention(run);
    if (!options.json_path.empty()) write_json(run.report(), options.json_path);
}

}  // namespace baltoro::gpu_check
