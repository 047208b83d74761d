#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "device/device.h"
#include "gpu_kernels/kernels.h"

namespace baltoro::device {

// Work of a stream that was recorded once and can be queued any number of times: every launch has
// the arguments, and every copy the addresses, that it was recorded with. Its platform must outlive
// it; it ends when no replay is waiting for the host.
class GpuGraph {
  public:
    virtual ~GpuGraph() = default;
    // Queues it in the stream.
    virtual void replay() = 0;
};

// What a GPU, or its emulation, gives: memory, one in-order stream and the kernels that run on it.
// Engine thread only. Kept apart from Device so that GpuDevice, the sequence of kernels that makes
// each of Device's operations, is one for both.
class GpuPlatform {
  public:
    virtual ~GpuPlatform() = default;

    // "NVIDIA H200, 141 GB, sm_90": for the start line.
    virtual std::string describe() const = 0;

    virtual const gpu::Table& kernels() const = 0;
    virtual simt::Stream* stream() = 0;

    // gpu::Table::panel_product, by a library where one is linked that takes the shape. Which of
    // the two it is, and how it sums, follows from the weight's shape alone, not from the number of
    // rows. Precondition: the shape is prepared.
    virtual void panel_product(const gpu::PanelProduct& args) {
        kernels().panel_product(stream(), args);
    }
    virtual bool is_prepared(int /*n*/, int /*k*/) const { return true; }
    // `w` is any weight of the shape. Loads code and waits for the stream, so not while the GPU may
    // wait for the host. Throws Error.
    virtual void prepare(const bf16_t* /*w*/, int /*n*/, int /*k*/) {}

    // Zero-filled. Throws Error with the numbers if the memory cannot be had. Shared memory is
    // mapped for the host, at the same address.
    virtual void* allocate(std::size_t size_bytes, MemoryKind kind) = 0;
    // After everything queued has finished.
    virtual void release(void* data, std::size_t size_bytes, MemoryKind kind) noexcept = 0;

    // Bytes that allocate() can still give to device memory.
    virtual std::size_t free_bytes() const = 0;

    // Queued in the stream; to device memory. The source has been read when the call returns.
    virtual void copy_to_device(void* dst, const void* host_src, std::size_t size_bytes) = 0;
    // Queued in the stream; one in device memory, the other in device or shared memory: CUDA makes
    // the host wait for a copy from shared memory to shared memory.
    virtual void copy_within(void* dst, const void* src, std::size_t size_bytes) = 0;
    // Waits for the stream and the copy.
    virtual void copy_to_host(void* host_dst, const void* src, std::size_t size_bytes) = 0;

    // From here on kernels and copy_within() are recorded instead of queued. No other call is
    // allowed until the recording ends.
    virtual void begin_capture() = 0;
    // Throws Error where it cannot be replayed; the recording has ended all the same.
    virtual std::unique_ptr<GpuGraph> end_capture() = 0;

    // Waits for everything queued. Throws Error if any of it failed.
    virtual void wait() = 0;
    // Throws Error if something queued has failed so far; does not wait.
    virtual void check_failure() = 0;
};

}  // namespace baltoro::device
