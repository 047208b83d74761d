#pragma once

#include "gpu_kernels/kernels.h"

namespace baltoro::device {

// gpu::cuda_table() with launches that fail by Error, which names the kernel. Any thread.
const gpu::Table& guarded_cuda_kernels();

}  // namespace baltoro::device
