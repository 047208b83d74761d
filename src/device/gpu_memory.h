#pragma once

#include <cstddef>

#include "device/gpu_platform.h"

namespace baltoro::device {

// Memory of a platform, which must outlive it; released after everything queued has finished.
// Engine thread only.
class GpuMemory {
  public:
    // Throws Error.
    GpuMemory(GpuPlatform& platform, std::size_t size_bytes, MemoryKind kind)
        : platform_(platform),
          size_bytes_(size_bytes),
          kind_(kind),
          data_(platform.allocate(size_bytes, kind)) {}
    ~GpuMemory() { platform_.release(data_, size_bytes_, kind_); }
    GpuMemory(const GpuMemory&) = delete;
    GpuMemory& operator=(const GpuMemory&) = delete;

    void* data() const noexcept { return data_; }

  private:
    GpuPlatform& platform_;
    std::size_t size_bytes_;
    MemoryKind kind_;
    void* data_;
};

}  // namespace baltoro::device
