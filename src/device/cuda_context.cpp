#include "device/cuda_context.h"

#include <utility>

#include "base/error.h"
#include "device/cuda_call.h"
#include "device/cuda_diagnosis.h"

namespace baltoro::device {

CudaContext::CudaContext(int gpu_idx, std::string name, std::size_t total_bytes)
    : gpu_idx_(gpu_idx), name_(std::move(name)) {
    cudaError_t status = cudaSetDevice(gpu_idx);
    if (status == cudaSuccess) status = cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking);
    if (status == cudaErrorMemoryAllocation) {
        cudaGetLastError();
        throw Error(no_context_line(name_, total_bytes));
    }
    if (status == cudaErrorDevicesUnavailable) {
        cudaGetLastError();
        throw Error(name_ +
                    " is held by another process alone (its compute mode, see "
                    "nvidia-smi)");
    }
    require_cuda(status, name_);
}

CudaContext::~CudaContext() {
    cudaStreamDestroy(stream_);
}

void CudaContext::require(cudaError_t status, std::string_view what) const {
    if (status == cudaSuccess) return;
    require_going(stream_, name_);
    require_cuda(status, what.empty() ? name_ : name_ + ": " + std::string(what));
}

}  // namespace baltoro::device
