#pragma once

#include <cstddef>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "device/gpu_platform.h"

namespace baltoro::device {

struct CudaOptions {
    int gpu_idx = 0;
    // That device memory may take.
    std::size_t memory_bytes = std::numeric_limits<std::size_t>::max();
};

// The GPUs of this machine as describe() names them; where there are none, one line says why
// (compiled without CUDA, no driver, a driver too old, no card). Does not throw.
struct CudaGpus {
    std::vector<std::string> names;
    std::string why_none;
};
CudaGpus find_cuda_gpus();

// A GPU by the CUDA runtime. Throws Error in one line if it cannot be used: see cuda_diagnosis.h.
std::unique_ptr<GpuPlatform> make_cuda_platform(const CudaOptions& options = {});

}  // namespace baltoro::device
