#include "app/device_choice.h"

#include "base/log.h"
#include "device/cuda_platform.h"
#include "device/emulated_platform.h"

namespace baltoro {

std::unique_ptr<device::GpuPlatform> choose_gpu(const RuntimeOptions& options) {
    if (options.device == "cpu") return nullptr;
    if (options.device == "emulated") return device::make_emulated_platform();
    if (options.device == "auto") {
        const device::CudaGpus gpus = device::find_cuda_gpus();
        if (gpus.names.empty()) {
            log_line("device: cpu (" + gpus.why_none + ")");
            return nullptr;
        }
    }
    device::CudaOptions cuda;
    cuda.gpu_idx = options.gpu;
    if (options.gpu_memory_gb > 0)
        cuda.memory_bytes = static_cast<std::size_t>(options.gpu_memory_gb * 1e9);
    return device::make_cuda_platform(cuda);
}

}  // namespace baltoro
