#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include <cuda_runtime.h>

#include "device/cuda_context.h"

namespace baltoro::device {

// A ring of pinned memory through which host data travels to the GPU, so that the source can be
// reused at once. Waits for the stream only when more than 64 MB or 1,024 copies are under way;
// a step uploads less before it hands anything to the host, or the two would wait for each other.
// Engine thread only; the device must be current.
class CudaStaging {
  public:
    // Destroyed after the stream has finished. The context must outlive the object. Throws Error.
    explicit CudaStaging(const CudaContext& context);

    // Throws Error.
    void copy(void* dst, const void* host_src, std::size_t size_bytes);

  private:
    static constexpr std::size_t kRingBytes = std::size_t{64} << 20;
    static constexpr std::size_t kPieceBytes = std::size_t{16} << 20;
    static constexpr std::size_t kMaxCopies = 1024;

    struct Copy {
        Copy() = default;
        ~Copy() {
            if (done != nullptr) cudaEventDestroy(done);
        }
        Copy(const Copy&) = delete;
        Copy& operator=(const Copy&) = delete;

        cudaEvent_t done = nullptr;
        std::size_t end = 0;  // of its bytes
    };
    struct FreeHost {
        void operator()(std::byte* memory) const noexcept { cudaFreeHost(memory); }
    };

    std::byte* reserve(std::size_t size_bytes);
    bool retire_oldest(bool may_wait);

    const CudaContext& context_;
    std::unique_ptr<std::byte, FreeHost> memory_;
    // Positions only grow; modulo kRingBytes they are offsets in the memory.
    std::size_t begin_ = 0;  // of what is under way
    std::size_t end_ = 0;
    // Of copies likewise, modulo kMaxCopies.
    std::vector<Copy> copies_;
    std::size_t first_copy_ = 0;
    std::size_t last_copy_ = 0;
};

}  // namespace baltoro::device
