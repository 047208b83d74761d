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

// Throws Error "NAME: its work has failed: …" if that has happened in the stream; forgets the error
// of the call that has met it. A recording in the stream is spoilt.
inline void require_going(cudaStream_t stream, std::string_view name) {
    cudaGetLastError();
    const cudaError_t status = cudaStreamQuery(stream);
    cudaGetLastError();
    if (status == cudaSuccess || status == cudaErrorNotReady ||
        status == cudaErrorStreamCaptureUnsupported || status == cudaErrorStreamCaptureInvalidated)
        return;
    throw Error(std::string(name) + ": its work has failed: " + cuda_error_text(status) +
                "; start the program again");
}

}  // namespace baltoro::device
