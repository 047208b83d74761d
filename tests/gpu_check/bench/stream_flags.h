#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include <cuda.h>
#include <cuda_runtime.h>

namespace baltoro::gpu_check {

// Operations of a stream on a flag in shared memory, without a kernel: functions of the driver, to
// which nothing here is linked.
struct StreamFlags {
    CUresult (*write_value)(CUstream, CUdeviceptr, cuuint32_t, unsigned);
    CUresult (*wait_value)(CUstream, CUdeviceptr, cuuint32_t, unsigned);

    // flag = value, after everything queued before. Throws Error.
    void write(cudaStream_t stream, std::uint32_t* flag, std::uint32_t value) const;
    // Holds up the stream until flag >= value, as counters that may wrap. Throws Error.
    void await(cudaStream_t stream, const std::uint32_t* flag, std::uint32_t value) const;
};

// Nothing, with the reason, where the driver does not have them.
std::optional<StreamFlags> find_stream_flags(std::string& why_not);

}  // namespace baltoro::gpu_check
