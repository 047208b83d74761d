// Where nvcc was not found: no GPU can be used.

#include "base/error.h"
#include "device/cuda_platform.h"

namespace baltoro::device {
namespace {

constexpr const char* kWhy = "compiled without CUDA";

}  // namespace

CudaGpus find_cuda_gpus() {
    return {{}, kWhy};
}

std::unique_ptr<GpuPlatform> make_cuda_platform(const CudaOptions& /*options*/) {
    throw Error(kWhy);
}

}  // namespace baltoro::device
