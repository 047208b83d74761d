#include "device/emulated_platform.h"

#include <sys/mman.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "base/error.h"
#include "gpu_kernels/simt/emulated_stream.h"

namespace baltoro::device {
namespace {

simt::LaneOrder lane_order(EmulationOptions::Lanes lanes) {
    switch (lanes) {
        case EmulationOptions::Lanes::forward:
            return simt::LaneOrder::forward;
        case EmulationOptions::Lanes::reversed:
            return simt::LaneOrder::reversed;
        case EmulationOptions::Lanes::shuffled:
            break;
    }
    return simt::LaneOrder::shuffled;
}

simt::WarpPace warp_pace(EmulationOptions::Warps warps) {
    switch (warps) {
        case EmulationOptions::Warps::in_step:
            return simt::WarpPace::in_step;
        case EmulationOptions::Warps::one_ahead:
            return simt::WarpPace::one_ahead;
        case EmulationOptions::Warps::one_behind:
            break;
    }
    return simt::WarpPace::one_behind;
}

// Entries hold their arguments by value: what changes from replay to replay shows only if kernels
// read it from memory, as on a GPU.
class EmulatedGraph final : public GpuGraph {
  public:
    using Entries = std::vector<simt::EmulatedStream::Entry>;

    EmulatedGraph(simt::EmulatedStream& stream, Entries entries)
        : stream_(stream), entries_(std::make_shared<const Entries>(std::move(entries))) {}

    void replay() override { stream_.enqueue_all(entries_); }

  private:
    simt::EmulatedStream& stream_;
    std::shared_ptr<const Entries> entries_;  // shared with replays under way
};

class EmulatedPlatform final : public GpuPlatform {
  public:
    explicit EmulatedPlatform(const EmulationOptions& options)
        : options_(options),
          stream_({{lane_order(options.lanes), options.seed, warp_pace(options.warps),
                    options.finds_races},
                   options.is_asynchronous,
                   options.max_delay_us,
                   options.most_queued}) {}

    std::string describe() const override { return "emulated GPU"; }
    const gpu::Table& kernels() const override { return gpu::emulated_table(); }
    simt::Stream* stream() override { return stream_.handle(); }

    void* allocate(std::size_t size_bytes, MemoryKind kind) override;
    void release(void* data, std::size_t size_bytes, MemoryKind kind) noexcept override;
    std::size_t free_bytes() const override { return options_.memory_bytes - used_bytes_; }
    void copy_to_device(void* dst, const void* host_src, std::size_t size_bytes) override;
    void copy_within(void* dst, const void* src, std::size_t size_bytes) override;
    void copy_to_host(void* host_dst, const void* src, std::size_t size_bytes) override;
    void begin_capture() override { stream_.begin_recording(); }
    std::unique_ptr<GpuGraph> end_capture() override {
        return std::make_unique<EmulatedGraph>(stream_, stream_.end_recording());
    }
    void wait() override;
    void check_failure() override;

  private:
    EmulationOptions options_;
    std::size_t used_bytes_ = 0;  // of device memory
    simt::EmulatedStream stream_;
};

// Pages arrive zero-filled and cost memory only where they are touched.
void* EmulatedPlatform::allocate(std::size_t size_bytes, MemoryKind kind) {
    if (kind == MemoryKind::device && size_bytes > free_bytes())
        throw Error(fmt::format("cannot have {:.2f} GB of GPU memory: {:.2f} GB are free",
                                static_cast<double>(size_bytes) * 1e-9,
                                static_cast<double>(free_bytes()) * 1e-9));
    void* data = mmap(nullptr, size_bytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (data == MAP_FAILED) throw system_error("cannot reserve memory", errno);
    if (kind == MemoryKind::device) used_bytes_ += size_bytes;
    return data;
}

void EmulatedPlatform::release(void* data, std::size_t size_bytes, MemoryKind kind) noexcept {
    try {
        stream_.wait();
    } catch (...) {
        // Whoever waits for the result has heard of it, or never will.
    }
    munmap(data, size_bytes);
    if (kind == MemoryKind::device) used_bytes_ -= size_bytes;
}

void EmulatedPlatform::copy_to_device(void* dst, const void* host_src, std::size_t size_bytes) {
    const auto* bytes = static_cast<const std::byte*>(host_src);
    stream_.enqueue([dst, source = std::vector<std::byte>(bytes, bytes + size_bytes)](
                        simt::Emulator&) { std::memcpy(dst, source.data(), source.size()); });
}

void EmulatedPlatform::copy_within(void* dst, const void* src, std::size_t size_bytes) {
    stream_.enqueue([dst, src, size_bytes](simt::Emulator&) { std::memcpy(dst, src, size_bytes); });
}

void EmulatedPlatform::copy_to_host(void* host_dst, const void* src, std::size_t size_bytes) {
    wait();
    std::memcpy(host_dst, src, size_bytes);
}

void EmulatedPlatform::wait() {
    try {
        stream_.wait();
    } catch (const simt::KernelError& error) {
        throw Error(std::string("emulated GPU: ") + error.what());
    }
}

void EmulatedPlatform::check_failure() {
    if (stream_.has_failed()) wait();
}

}  // namespace

std::unique_ptr<GpuPlatform> make_emulated_platform(const EmulationOptions& options) {
    return std::make_unique<EmulatedPlatform>(options);
}

}  // namespace baltoro::device
