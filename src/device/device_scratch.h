#pragma once

#include <cstddef>
#include <functional>
#include <utility>

#include "device/gpu_platform.h"

namespace baltoro::device {

// Device memory that only grows, as Scratch is on the host: steps of a size seen before allocate
// nothing. Before it grows, the stream is emptied by the owner's `drain`. Engine thread only.
class DeviceScratch {
  public:
    // Both must outlive the object.
    DeviceScratch(GpuPlatform& platform, const std::function<void()>& drain)
        : platform_(platform), drain_(drain) {}
    ~DeviceScratch() {
        if (data_ != nullptr) platform_.release(data_, size_bytes_, MemoryKind::device);
    }
    DeviceScratch(const DeviceScratch&) = delete;
    DeviceScratch& operator=(const DeviceScratch&) = delete;

    // At least n elements of T; what they held before is lost when the memory grows.
    template <typename T>
    T* get(std::size_t n) {
        if (n * sizeof(T) > size_bytes_) grow(n * sizeof(T));
        return static_cast<T*>(data_);
    }

    std::size_t size_bytes() const noexcept { return size_bytes_; }

  private:
    void grow(std::size_t size_bytes) {
        drain_();
        if (data_ != nullptr)
            platform_.release(std::exchange(data_, nullptr), std::exchange(size_bytes_, 0),
                              MemoryKind::device);
        data_ = platform_.allocate(size_bytes, MemoryKind::device);
        size_bytes_ = size_bytes;
    }

    GpuPlatform& platform_;
    const std::function<void()>& drain_;
    void* data_ = nullptr;
    std::size_t size_bytes_ = 0;
};

}  // namespace baltoro::device
