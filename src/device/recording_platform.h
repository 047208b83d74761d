#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "device/gpu_platform.h"

namespace baltoro::device {

// A platform whose kernels and copies are launched, recorded, or left out while a recording of the
// same is executed; whoever queues them need not know which. Memory is taken and the host's data
// travels while they are launched only. Engine thread only.
class RecordingPlatform final : public GpuPlatform {
  public:
    enum class Mode : std::uint8_t { launching, recording, repeating };

    explicit RecordingPlatform(std::unique_ptr<GpuPlatform> real) : real_(std::move(real)) {}

    Mode mode() const noexcept { return mode_; }
    void begin_capture() override;
    std::unique_ptr<GpuGraph> end_capture() override;
    // Queues the graph and leaves out what follows until end_repeat(): it is in the graph.
    void begin_repeat(GpuGraph& graph);
    void end_repeat() noexcept { mode_ = Mode::launching; }

    std::string describe() const override { return real_->describe(); }
    const gpu::Table& kernels() const override;
    simt::Stream* stream() override { return real_->stream(); }
    void panel_product(const gpu::PanelProduct& args) override;
    bool is_prepared(int n, int k) const override { return real_->is_prepared(n, k); }
    void prepare(const bf16_t* w, int n, int k) override;
    void* allocate(std::size_t size_bytes, MemoryKind kind) override;
    void release(void* data, std::size_t size_bytes, MemoryKind kind) noexcept override;
    std::size_t free_bytes() const override { return real_->free_bytes(); }
    void copy_to_device(void* dst, const void* host_src, std::size_t size_bytes) override;
    void copy_within(void* dst, const void* src, std::size_t size_bytes) override;
    void copy_to_host(void* host_dst, const void* src, std::size_t size_bytes) override;
    void wait() override;
    void check_failure() override { real_->check_failure(); }

  private:
    void require_launching(const char* what) const;

    std::unique_ptr<GpuPlatform> real_;
    Mode mode_ = Mode::launching;
};

}  // namespace baltoro::device
