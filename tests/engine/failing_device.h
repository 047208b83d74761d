#pragma once

#include <atomic>
#include <string>

#include "base/error.h"
#include "device/device.h"

namespace baltoro::testing {

// Another device, whose steps fail while `is_failing`.
class FailingDevice final : public device::Device {
  public:
    explicit FailingDevice(device::Device& real) : real_(real) {}

    std::atomic<bool> is_failing{false};

    void begin_step(StepKind kind) override {
        if (is_failing) throw Error("the device is gone");
        real_.begin_step(kind);
    }

    void begin_repeatable(const device::StepRows& rows) override { real_.begin_repeatable(rows); }

    std::string describe() const override { return real_.describe(); }
    device::Buffer allocate(std::size_t size_bytes, device::MemoryKind kind) override {
        return real_.allocate(size_bytes, kind);
    }
    device::Matrix place(const TensorView& weight,
                         const TensorView* scale,
                         device::WeightUse use) override {
        return real_.place(weight, scale, use);
    }
    void copy_to_host(void* dst, const void* src, std::size_t size_bytes) override {
        real_.copy_to_host(dst, src, size_bytes);
    }
    void copy_from_host(void* dst, const void* src, std::size_t size_bytes) override {
        real_.copy_from_host(dst, src, size_bytes);
    }
    void embed(const device::Embed& args) override { real_.embed(args); }
    void rms_norm(const device::Norm& args) override { real_.rms_norm(args); }
    void product(const device::Product& args) override { real_.product(args); }
    void gated_ffn(const device::GatedFfn& args) override { real_.gated_ffn(args); }
    void write_latent(const device::WriteLatent& args) override { real_.write_latent(args); }
    void attend(const device::Attend& args) override { real_.attend(args); }
    void route(const device::Route& args) override { real_.route(args); }
    void add(const float* src, float* dst, std::size_t n) override { real_.add(src, dst, n); }
    int begin_host_work(const device::HostWork& work) override {
        return real_.begin_host_work(work);
    }
    void end_host_work(int number) override { real_.end_host_work(number); }
    const void* publish(const void* src, void* dst, std::size_t size_bytes) override {
        return real_.publish(src, dst, size_bytes);
    }
    bool overlaps_host() const override { return real_.overlaps_host(); }
    void finish() override { real_.finish(); }

  private:
    void release(void* /*data*/, std::size_t /*size_bytes*/) noexcept override {
    }  // buffers are real_'s

    device::Device& real_;
};

}  // namespace baltoro::testing
