#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "device/gpu_platform.h"
#include "tests/gpu_check/simt_kernels.h"

namespace baltoro::gpu_check {

// A device on which kernels are checked.
struct CheckDevice {
    std::string name;
    std::unique_ptr<device::GpuPlatform> platform;
    const SimtKernels* simt = nullptr;  // never null in check_devices()

    const gpu::Table& kernels() const { return platform->kernels(); }
    simt::Stream* stream() const { return platform->stream(); }
};

// The devices asked for on the command line: the emulator in three ways to run lanes and warps, or
// the CUDA device. One owner: main.
std::vector<CheckDevice>& check_devices();

// An array in device memory between two canaries, which are checked by download() and at the end.
template <typename T>
class DeviceArray {
  public:
    DeviceArray(const CheckDevice& device, const std::vector<T>& values)
        : platform_(*device.platform), n_(values.size()) {
        data_ =
            static_cast<std::byte*>(platform_.allocate(total_bytes(), device::MemoryKind::device));
        std::vector<std::byte> bytes(total_bytes(), kCanary);
        if (n_ > 0) std::memcpy(bytes.data() + kGuardBytes, values.data(), n_ * sizeof(T));
        platform_.copy_to_device(data_, bytes.data(), bytes.size());
    }
    // Filled with poison: every element that the kernel must write is checked to be written.
    DeviceArray(const CheckDevice& device, std::size_t n) : DeviceArray(device, poison(n)) {}
    ~DeviceArray() { platform_.release(data_, total_bytes(), device::MemoryKind::device); }
    DeviceArray(const DeviceArray&) = delete;
    DeviceArray& operator=(const DeviceArray&) = delete;

    T* data() const { return reinterpret_cast<T*>(data_ + kGuardBytes); }

    // Waits for the stream.
    std::vector<T> download() const {
        platform_.wait();
        std::vector<std::byte> bytes(total_bytes());
        platform_.copy_to_host(bytes.data(), data_, bytes.size());
        bool is_intact = true;
        for (std::size_t i = 0; i < kGuardBytes; i++)
            is_intact = is_intact && bytes[i] == kCanary && bytes[bytes.size() - 1 - i] == kCanary;
        CHECK_MESSAGE(is_intact, "a kernel wrote outside its array");
        std::vector<T> values(n_);
        if (n_ > 0) std::memcpy(values.data(), bytes.data() + kGuardBytes, n_ * sizeof(T));
        return values;
    }

  private:
    static constexpr std::size_t kGuardBytes = 256;
    static constexpr std::byte kCanary{0xcb};

    static std::vector<T> poison(std::size_t n) {
        std::vector<T> values(n);
        if (n > 0) std::memset(values.data(), 0xff, n * sizeof(T));
        return values;
    }
    std::size_t total_bytes() const { return 2 * kGuardBytes + n_ * sizeof(T); }

    device::GpuPlatform& platform_;
    std::size_t n_;
    std::byte* data_ = nullptr;
};

}  // namespace baltoro::gpu_check
