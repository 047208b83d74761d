#pragma once

#include <memory>
#include <string>
#include <utility>

#include "device/emulated_platform.h"
#include "device/kernel_entries.h"

namespace baltoro::testing {

// An emulated GPU that counts the launches and copies of the last recording: a graph's nodes.
class CountingPlatform final : public device::GpuPlatform {
  public:
    explicit CountingPlatform(int& n_recorded) : n_recorded_(n_recorded) {}

    std::string describe() const override { return real_->describe(); }
    const gpu::Table& kernels() const override {
        static const gpu::Table table = counted(device::AllKernels{});
        return table;
    }
    simt::Stream* stream() override { return real_->stream(); }
    void* allocate(std::size_t size_bytes, device::MemoryKind kind) override {
        return real_->allocate(size_bytes, kind);
    }
    void release(void* data, std::size_t size_bytes, device::MemoryKind kind) noexcept override {
        real_->release(data, size_bytes, kind);
    }
    std::size_t free_bytes() const override { return real_->free_bytes(); }
    void copy_to_device(void* dst, const void* src, std::size_t size_bytes) override {
        real_->copy_to_device(dst, src, size_bytes);
    }
    void copy_within(void* dst, const void* src, std::size_t size_bytes) override {
        n_launched_++;
        real_->copy_within(dst, src, size_bytes);
    }
    void copy_to_host(void* dst, const void* src, std::size_t size_bytes) override {
        real_->copy_to_host(dst, src, size_bytes);
    }
    void begin_capture() override {
        n_launched_ = 0;
        real_->begin_capture();
    }
    std::unique_ptr<device::GpuGraph> end_capture() override {
        n_recorded_ = n_launched_;
        return real_->end_capture();
    }
    void wait() override { real_->wait(); }
    void check_failure() override { real_->check_failure(); }

  private:
    template <auto kEntry>
    struct Counted;
    template <typename Args, void (*gpu::Table::*kEntry)(simt::Stream*, const Args&)>
    struct Counted<kEntry> {
        static void launch(simt::Stream* stream, const Args& args) {
            n_launched_++;
            (gpu::emulated_table().*kEntry)(stream, args);
        }
    };
    template <auto... kEntries>
    static gpu::Table counted(device::KernelEntries<kEntries...>) {
        gpu::Table table{};
        ((table.*kEntries = &Counted<kEntries>::launch), ...);
        return table;
    }

    inline static thread_local int n_launched_ = 0;  // launches get no context but their stream
    std::unique_ptr<device::GpuPlatform> real_ = device::make_emulated_platform();
    int& n_recorded_;
};

}  // namespace baltoro::testing
