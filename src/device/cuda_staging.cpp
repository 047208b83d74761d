#include "device/cuda_staging.h"

#include <algorithm>
#include <cstring>

namespace baltoro::device {

CudaStaging::CudaStaging(const CudaContext& context) : context_(context), copies_(kMaxCopies) {
    void* memory = nullptr;
    context.require(cudaHostAlloc(&memory, kRingBytes, cudaHostAllocDefault),
                    "pinned host memory for uploads (64 MiB)");
    memory_.reset(static_cast<std::byte*>(memory));
    for (Copy& copy : copies_)
        context.require(cudaEventCreateWithFlags(&copy.done, cudaEventDisableTiming),
                        "events for uploads");
}

void CudaStaging::copy(void* dst, const void* host_src, std::size_t size_bytes) {
    const cudaStream_t stream = context_.stream();
    auto* to = static_cast<std::byte*>(dst);
    const auto* from = static_cast<const std::byte*>(host_src);
    while (size_bytes > 0) {
        const std::size_t n = std::min(size_bytes, kPieceBytes);
        std::byte* staged = reserve(n);
        std::memcpy(staged, from, n);
        context_.require(cudaMemcpyAsync(to, staged, n, cudaMemcpyDefault, stream), "an upload");
        Copy& copy = copies_[last_copy_++ % kMaxCopies];
        copy.end = end_;
        context_.require(cudaEventRecord(copy.done, stream), "an upload");
        to += n;
        from += n;
        size_bytes -= n;
    }
}

// Contiguous and aligned; what it overwrites has arrived.
std::byte* CudaStaging::reserve(std::size_t size_bytes) {
    while (retire_oldest(false)) {
    }
    if (last_copy_ - first_copy_ == kMaxCopies) retire_oldest(true);
    const std::size_t n = (size_bytes + 255) / 256 * 256;
    const std::size_t left_to_end = kRingBytes - end_ % kRingBytes;
    if (n > left_to_end) end_ += left_to_end;
    while (end_ + n > begin_ + kRingBytes)
        retire_oldest(true);
    std::byte* place = memory_.get() + end_ % kRingBytes;
    end_ += n;
    return place;
}

// Returns whether a copy was retired. With nothing under way all of the ring is free.
bool CudaStaging::retire_oldest(bool may_wait) {
    if (first_copy_ == last_copy_) {
        begin_ = end_;
        return false;
    }
    const Copy& copy = copies_[first_copy_ % kMaxCopies];
    const cudaError_t status =
        may_wait ? cudaEventSynchronize(copy.done) : cudaEventQuery(copy.done);
    if (status == cudaErrorNotReady) {
        cudaGetLastError();  // the runtime remembers it as an error
        return false;
    }
    context_.require(status, "an upload");
    begin_ = copy.end;
    first_copy_++;
    return true;
}

}  // namespace baltoro::device
