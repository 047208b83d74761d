#include "app/device_choice.h"

#include "base/error.h"
#include "base/log.h"
#include "device/emulated_platform.h"

namespace baltoro {

std::unique_ptr<device::GpuPlatform> choose_gpu(const RuntimeOptions& options) {
    if (options.device == "cpu") return nullptr;
    if (options.device == "emulated") return device::make_emulated_platform();
    if (options.device == "cuda") throw Error("--device cuda: this build has no CUDA");
    log_line("device: cpu (this build has no CUDA)");
    return nullptr;
}

}  // namespace baltoro
