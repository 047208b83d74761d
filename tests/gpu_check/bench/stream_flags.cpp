#include "tests/gpu_check/bench/stream_flags.h"

#include "base/error.h"
#include "device/cuda_call.h"

namespace baltoro::gpu_check {
namespace {

constexpr unsigned kSinceCuda12 = 12000;

void* find_driver_function(const char* name) {
    void* function = nullptr;
    cudaDriverEntryPointQueryResult found = cudaDriverEntryPointSymbolNotFound;
    const cudaError_t status =
        cudaGetDriverEntryPointByVersion(name, &function, kSinceCuda12, cudaEnableDefault, &found);
    if (status != cudaSuccess) cudaGetLastError();
    return status == cudaSuccess && found == cudaDriverEntryPointSuccess ? function : nullptr;
}

void require_driver(CUresult status, const char* what) {
    if (status != CUDA_SUCCESS)
        throw Error(std::string(what) + ": the driver's error " + std::to_string(status));
}

}  // namespace

void StreamFlags::write(cudaStream_t stream, std::uint32_t* flag, std::uint32_t value) const {
    require_driver(write_value(stream, reinterpret_cast<CUdeviceptr>(flag), value,
                               CU_STREAM_WRITE_VALUE_DEFAULT),
                   "cuStreamWriteValue32");
}

void StreamFlags::await(cudaStream_t stream, const std::uint32_t* flag, std::uint32_t value) const {
    require_driver(
        wait_value(stream, reinterpret_cast<CUdeviceptr>(flag), value, CU_STREAM_WAIT_VALUE_GEQ),
        "cuStreamWaitValue32");
}

std::optional<StreamFlags> find_stream_flags(std::string& why_not) {
    void* write = find_driver_function("cuStreamWriteValue32");
    void* wait = find_driver_function("cuStreamWaitValue32");
    if (write == nullptr || wait == nullptr) {
        why_not = "the driver has no cuStreamWriteValue32 and cuStreamWaitValue32";
        return std::nullopt;
    }
    return StreamFlags{reinterpret_cast<decltype(StreamFlags::write_value)>(write),
                       reinterpret_cast<decltype(StreamFlags::wait_value)>(wait)};
}

}  // namespace baltoro::gpu_check
