// Errors and versions.

#include "tests/cuda_runtime/call.h"

namespace {

using namespace baltoro::cuda_stand_in;

struct ErrorText {
    cudaError_t status;
    const char* name;
    const char* text;
};

constexpr ErrorText kTexts[] = {
    {cudaSuccess, "cudaSuccess", "no error"},
    {cudaErrorInvalidValue, "cudaErrorInvalidValue", "invalid argument"},
    {cudaErrorMemoryAllocation, "cudaErrorMemoryAllocation", "out of memory"},
    {cudaErrorInitializationError, "cudaErrorInitializationError", "initialization error"},
    {cudaErrorInsufficientDriver, "cudaErrorInsufficientDriver",
     "CUDA driver version is insufficient for CUDA runtime version"},
    {cudaErrorDevicesUnavailable, "cudaErrorDevicesUnavailable",
     "CUDA-capable device(s) is/are busy or unavailable"},
    {cudaErrorNoDevice, "cudaErrorNoDevice", "no CUDA-capable device is detected"},
    {cudaErrorInvalidDevice, "cudaErrorInvalidDevice", "invalid device ordinal"},
    {cudaErrorInvalidResourceHandle, "cudaErrorInvalidResourceHandle", "invalid resource handle"},
    {cudaErrorIllegalState, "cudaErrorIllegalState",
     "the operation cannot be performed in the present state"},
    {cudaErrorNotReady, "cudaErrorNotReady", "device not ready"},
    {cudaErrorIllegalAddress, "cudaErrorIllegalAddress",
     "an illegal memory access was encountered"},
    {cudaErrorLaunchFailure, "cudaErrorLaunchFailure", "unspecified launch failure"},
    {cudaErrorStreamCaptureUnsupported, "cudaErrorStreamCaptureUnsupported",
     "operation not permitted when stream is capturing"},
    {cudaErrorStreamCaptureInvalidated, "cudaErrorStreamCaptureInvalidated",
     "operation failed due to a previous error during capture"},
    {cudaErrorCapturedEvent, "cudaErrorCapturedEvent",
     "operation not permitted on an event last recorded in a capturing stream"},
    {cudaErrorStreamCaptureWrongThread, "cudaErrorStreamCaptureWrongThread",
     "attempt to terminate a thread-local capture sequence from another thread"},
};

ErrorText text_of(cudaError_t status) {
    for (const ErrorText& text : kTexts)
        if (text.status == status) return text;
    return {status, "unrecognized error code", "unrecognized error code"};
}

}  // namespace

const char* cudaGetErrorName(cudaError_t status) {
    return text_of(status).name;
}

const char* cudaGetErrorString(cudaError_t status) {
    return text_of(status).text;
}

cudaError_t cudaPeekAtLastError() {
    State* state = current_state();
    if (state != nullptr) {
        const std::lock_guard lock(state->mutex);
        if (state->failure != cudaSuccess) return state->failure;
    }
    return thread_state().last_error;
}

// Forgets it, unless it is a kernel's failure.
cudaError_t cudaGetLastError() {
    const cudaError_t status = cudaPeekAtLastError();
    thread_state().last_error = cudaSuccess;
    return status;
}

cudaError_t cudaDriverGetVersion(int* version) {
    const State* state = current_state();
    *version = state == nullptr ? 0 : state->machine.driver_version;
    return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int* version) {
    *version = CUDART_VERSION;
    return cudaSuccess;
}
