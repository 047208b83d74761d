#include "app/device_choice.h"

#include <algorithm>

#include "base/log.h"
#include "device/cuda_platform.h"
#include "device/emulated_platform.h"

namespace baltoro {

std::unique_ptr<device::GpuPlatform> choose_gpu(const RuntimeOptions& options) {
    if (options.device == "cpu") return nullptr;
    const bool is_bounded = options.gpu_memory_gb > 0;
    const auto most_bytes = static_cast<std::size_t>(options.gpu_memory_gb * 1e9);
    if (options.device == "emulated") {
        device::EmulationOptions emulation;
        if (is_bounded) emulation.memory_bytes = std::min(emulation.memory_bytes, most_bytes);
        return device::make_emulated_platform(emulation);
    }
    if (options.device == "auto") {
        const device::CudaGpus gpus = device::find_cuda_gpus();
        if (gpus.names.empty()) {
            log_line("device: cpu (" + gpus.why_none + ")");
            return nullptr;
        }
    }
    device::CudaOptions cuda;
    cuda.gpu_idx = options.gpu;
    if (is_bounded) cuda.memory_bytes = most_bytes;
    return device::make_cuda_platform(cuda);
}

}  // namespace baltoro
