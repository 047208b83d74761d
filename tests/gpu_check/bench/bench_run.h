#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include <cuda_runtime.h>

#include "base/float_formats.h"
#include "device/gpu_platform.h"
#include "tests/gpu_check/bench/report.h"

namespace baltoro::gpu_check {

// Kimi-K2's dimensions (its config.json).
namespace k2 {
constexpr int kHidden = 7168;
constexpr int kQLoraRank = 1536;
constexpr int kSharedIntermediate = 2048;
constexpr gpu::MlaShapes kMla{64, 512, 128, 64, 128};
constexpr int kLatentDim = 512 + 64;
constexpr int kLayers = 61;
}  // namespace k2

// Device memory of one measurement.
class BenchMemory {
  public:
    BenchMemory(device::GpuPlatform& platform, std::size_t size_bytes)
        : platform_(&platform),
          data_(platform.allocate(size_bytes, device::MemoryKind::device)),
          size_bytes_(size_bytes) {}
    ~BenchMemory() {
        if (data_ != nullptr) platform_->release(data_, size_bytes_, device::MemoryKind::device);
    }
    BenchMemory(BenchMemory&& other) noexcept
        : platform_(other.platform_),
          data_(std::exchange(other.data_, nullptr)),
          size_bytes_(other.size_bytes_) {}
    BenchMemory& operator=(BenchMemory&&) = delete;

    template <typename T>
    T* as() const {
        return static_cast<T*>(data_);
    }
    std::size_t size_bytes() const { return size_bytes_; }

  private:
    device::GpuPlatform* platform_;
    void* data_;
    std::size_t size_bytes_;
};

// A weight with its memory.
struct BenchWeight {
    BenchMemory data;
    BenchMemory scale;
    gpu::Weight weight;
    double size_bytes() const {
        return static_cast<double>(data.size_bytes() + scale.size_bytes());
    }
};

// One run of the benchmark: a GPU, its stream, and random contents of memory (since the power that
// a GPU draws, and so its clock, depends on the values).
class BenchRun {
  public:
    explicit BenchRun(int gpu_idx);

    int gpu_idx() const { return gpu_idx_; }
    device::GpuPlatform& platform() { return *platform_; }
    const gpu::Table& kernels() const { return platform_->kernels(); }
    simt::Stream* stream() { return platform_->stream(); }
    cudaStream_t cuda_stream() { return reinterpret_cast<cudaStream_t>(platform_->stream()); }
    Report& report() { return report_; }

    // Memory that must be cycled through so that a second use comes from memory, not from the
    // second-level cache.
    std::size_t cold_bytes() const { return 4 * l2_bytes_; }
    // How many objects of a size that is; at least 2.
    int cold_copies(double size_bytes) const;

    BenchMemory random_f32(std::size_t n);
    BenchMemory random_bf16(std::size_t n);
    BenchMemory zeros(std::size_t size_bytes) { return {*platform_, size_bytes}; }
    template <typename T>
    BenchMemory upload(const std::vector<T>& values) {
        BenchMemory memory(*platform_, values.size() * sizeof(T));
        platform_->copy_to_device(memory.as<void>(), values.data(), memory.size_bytes());
        return memory;
    }
    BenchWeight random_fp8(int n, int k);

    // The time of one of n_calls: queue(i) queues call i; all are captured into one graph, whose
    // launches are timed. `beside` is what the host does while a graph runs.
    Spread time_calls(
        int n_calls,
        const std::function<void(int)>& queue,
        const std::function<void()>& beside = [] {});

  private:
    void fill(BenchMemory& memory, const BenchMemory& pattern);

    int gpu_idx_;
    std::unique_ptr<device::GpuPlatform> platform_;
    std::size_t l2_bytes_;
    // Random values to fill memory with, over and over.
    BenchMemory f32_pattern_;
    BenchMemory bf16_pattern_;
    BenchMemory fp8_pattern_;
    Report report_;
};

void bench_copy(BenchRun& run);
void bench_matrix_rate(BenchRun& run);
void bench_products(BenchRun& run);
void bench_panels(BenchRun& run);
void bench_decode_attention(BenchRun& run);
void bench_prefill_attention(BenchRun& run);
void bench_handoff(BenchRun& run);
void bench_decode_step(BenchRun& run);

}  // namespace baltoro::gpu_check
