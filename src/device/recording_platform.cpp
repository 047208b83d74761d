#include "device/recording_platform.h"

#include "base/check.h"
#include "device/kernel_entries.h"

namespace baltoro::device {
namespace {

template <auto kEntry>
struct LeftOut;

template <typename Args, void (*gpu::Table::*kEntry)(simt::Stream*, const Args&)>
struct LeftOut<kEntry> {
    static void launch(simt::Stream* /*stream*/, const Args& /*args*/) {}
};

template <auto... kEntries>
gpu::Table left_out(KernelEntries<kEntries...>) {
    gpu::Table table{};
    ((table.*kEntries = &LeftOut<kEntries>::launch), ...);
    return table;
}

}  // namespace

void RecordingPlatform::begin_capture() {
    require_launching("one recording ends before the next begins");
    real_->begin_capture();
    mode_ = Mode::recording;
}

std::unique_ptr<GpuGraph> RecordingPlatform::end_capture() {
    check(mode_ == Mode::recording, "a recording has begun");
    mode_ = Mode::launching;
    return real_->end_capture();
}

void RecordingPlatform::begin_repeat(GpuGraph& graph) {
    require_launching("a recording ends before it is repeated");
    graph.replay();
    mode_ = Mode::repeating;
}

const gpu::Table& RecordingPlatform::kernels() const {
    static const gpu::Table nothing = left_out(AllKernels{});
    return mode_ == Mode::repeating ? nothing : real_->kernels();
}

void RecordingPlatform::panel_product(const gpu::PanelProduct& args) {
    if (mode_ != Mode::repeating) real_->panel_product(args);
}

void RecordingPlatform::prepare(const bf16_t* w, int n, int k) {
    require_launching("products are prepared before a recording");
    real_->prepare(w, n, k);
}

void* RecordingPlatform::allocate(std::size_t size_bytes, MemoryKind kind) {
    require_launching("no memory is taken within a recording");
    return real_->allocate(size_bytes, kind);
}

void RecordingPlatform::release(void* data, std::size_t size_bytes, MemoryKind kind) noexcept {
    require_launching("no memory is released within a recording");
    real_->release(data, size_bytes, kind);
}

void RecordingPlatform::copy_to_device(void* dst, const void* host_src, std::size_t size_bytes) {
    require_launching("the host's data travels before a recording");
    real_->copy_to_device(dst, host_src, size_bytes);
}

void RecordingPlatform::copy_within(void* dst, const void* src, std::size_t size_bytes) {
    if (mode_ != Mode::repeating) real_->copy_within(dst, src, size_bytes);
}

void RecordingPlatform::copy_to_host(void* host_dst, const void* src, std::size_t size_bytes) {
    require_launching("results are fetched after a recording");
    real_->copy_to_host(host_dst, src, size_bytes);
}

void RecordingPlatform::wait() {
    require_launching("a recording ends before anybody waits for it");
    real_->wait();
}

void RecordingPlatform::require_launching(const char* what) const {
    check(mode_ == Mode::launching, what);
}

}  // namespace baltoro::device
