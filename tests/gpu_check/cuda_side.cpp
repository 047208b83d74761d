#include "device/cuda_platform.h"
#include "tests/gpu_check/check_device.h"
#include "tests/gpu_check/sides.h"

namespace baltoro::gpu_check {

void add_cuda_device(int gpu_idx) {
    auto platform = device::make_cuda_platform({gpu_idx});
    const std::string name = platform->describe();
    check_devices().push_back({name, std::move(platform), &cuda_simt_kernels()});
}

}  // namespace baltoro::gpu_check
