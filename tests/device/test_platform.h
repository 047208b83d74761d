#pragma once

#include <memory>

#include "device/emulated_platform.h"
#include "device/gpu_platform.h"

namespace baltoro::testing {

// A GPU for tests that are to pass on any: the emulated one, or, where tests/cuda_runtime links
// these tests, CUDA's with a stand-in for the runtime. Both delay their work as the options say.
std::unique_ptr<device::GpuPlatform> make_test_platform(
    const device::EmulationOptions& options = {});

}  // namespace baltoro::testing
