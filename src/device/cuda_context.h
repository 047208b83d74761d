#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include <cuda_runtime.h>

namespace baltoro::device {

// A GPU as one platform uses it: its context, the one stream and the name for messages. Engine
// thread only.
class CudaContext {
  public:
    // The first to need memory of the GPU. Throws Error.
    CudaContext(int gpu_idx, std::string name, std::size_t total_bytes);
    ~CudaContext();
    CudaContext(const CudaContext&) = delete;
    CudaContext& operator=(const CudaContext&) = delete;

    cudaStream_t stream() const noexcept { return stream_; }
    const std::string& name() const noexcept { return name_; }

    // The current device belongs to the calling thread, and objects may be made by another than
    // the one that uses them. Costs nothing where it is current already.
    void activate() const noexcept { cudaSetDevice(gpu_idx_); }

    // Throws Error "NAME: WHAT: …", or "NAME: …" without a `what`, unless a call of the CUDA
    // runtime succeeded. The call may not be to blame: after a kernel's failure CUDA refuses
    // everything else in the process, which is said then.
    void require(cudaError_t status, std::string_view what = {}) const;

  private:
    int gpu_idx_;
    std::string name_;
    cudaStream_t stream_ = nullptr;
};

}  // namespace baltoro::device
