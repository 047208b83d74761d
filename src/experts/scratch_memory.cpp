#include "experts/scratch_memory.h"

#include <fmt/format.h>
#include <sys/mman.h>

#include "base/error.h"

namespace baltoro::experts {
namespace {

constexpr std::size_t kCacheLine = 64;
constexpr std::size_t kHugePage = std::size_t{2} << 20;

}  // namespace

ScratchMemory::ScratchMemory(std::size_t size_bytes) {
    if (size_bytes == 0) return;
    const std::size_t alignment = size_bytes >= kHugePage ? kHugePage : kCacheLine;
    const std::size_t rounded_bytes = (size_bytes + alignment - 1) / alignment * alignment;
    data_.reset(static_cast<std::byte*>(std::aligned_alloc(alignment, rounded_bytes)));
    if (data_ == nullptr) {
        throw Error(
            fmt::format("cannot allocate {} bytes for the experts' activations; use a "
                        "smaller prefill chunk",
                        rounded_bytes));
    }
    // Only a wish: without it the same pages are small.
    if (alignment == kHugePage) madvise(data_.get(), rounded_bytes, MADV_HUGEPAGE);
}

}  // namespace baltoro::experts
