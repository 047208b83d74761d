#pragma once

#include <memory>

#include "app/options.h"
#include "device/gpu_platform.h"

namespace baltoro {

// The GPU that --device and --gpu name; null where the dense part runs on the CPU. `auto` takes a
// CUDA device where there is one and otherwise says in one line why not. Throws Error if what is
// asked for cannot be had.
std::unique_ptr<device::GpuPlatform> choose_gpu(const RuntimeOptions& options);

}  // namespace baltoro
