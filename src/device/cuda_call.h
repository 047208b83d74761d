#pragma once

#include <string>
#include <string_view>

#include <cuda_runtime.h>

#include "base/error.h"

namespace baltoro::device {

// "an illegal memory access was encountered (cudaErrorIllegalAddress)"
inline std::string cuda_error_text(cudaError_t status) {
    return std::string(cudaGetErrorString(status)) + " (" + cudaGetErrorName(status) + ")";
}

// Throws Error "WHAT: …" unless a call of the CUDA runtime succeeded; forgets the error, so that
// the next call does not report it again.
inline void require_cuda(cudaError_t status, std::string_view what) {
    if (status == cudaSuccess) return;
    cudaGetLastError();
    throw Error(std::string(what) + ": " + cuda_error_text(status));
}

}  // namespace baltoro::device
