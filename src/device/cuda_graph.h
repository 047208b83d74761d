#pragma once

#include <memory>
#include <string>

#include <cuda_runtime.h>

#include "device/gpu_platform.h"

namespace baltoro::device {

// Ends the recording of a stream of GPU gpu_idx, which is current, and makes it executable. Throws
// Error "NAME: …"; the recording has ended all the same.
std::unique_ptr<GpuGraph> end_cuda_capture(cudaStream_t stream,
                                           int gpu_idx,
                                           const std::string& name);

}  // namespace baltoro::device
