#pragma once

#include <cstddef>
#include <cstdlib>
#include <memory>

namespace baltoro::experts {

// Uninitialised memory for a computation, aligned to 64 bytes, or to 2 MB pages if it is larger
// than one. Pages become resident when first written. Freed with its owner.
class ScratchMemory {
  public:
    // Throws Error if there is not enough memory. Zero bytes give a null pointer.
    explicit ScratchMemory(std::size_t size_bytes);

    std::byte* data() const noexcept { return data_.get(); }

    template <typename T>
    T* as() const noexcept {
        return reinterpret_cast<T*>(data_.get());
    }

  private:
    struct Free {
        void operator()(std::byte* data) const noexcept { std::free(data); }
    };
    std::unique_ptr<std::byte, Free> data_;
};

}  // namespace baltoro::experts
