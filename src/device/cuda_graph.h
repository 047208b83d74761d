#pragma once

#include <memory>

#include "device/cuda_context.h"
#include "device/gpu_platform.h"

namespace baltoro::device {

// Ends the recording of the context's stream, which is current, and makes it executable. Throws
// Error; the recording has ended all the same. The context must outlive the graph.
std::unique_ptr<GpuGraph> end_cuda_capture(const CudaContext& context);

}  // namespace baltoro::device
