#pragma once

#include <cstddef>
#include <cstdlib>
#include <memory>
#include <new>

namespace baltoro::device {

// Cache-line aligned memory that only grows, so that steps of a size seen before allocate nothing.
// One owner, one thread at a time.
class Scratch {
  public:
    // At least n elements of T; what they held before is lost when the memory grows.
    template <typename T>
    T* get(std::size_t n) {
        const std::size_t wanted = (n * sizeof(T) + 63) / 64 * 64;
        if (wanted > size_bytes_) grow(wanted);
        return static_cast<T*>(data_.get());
    }

    template <typename T>
    T* data() const noexcept {
        return static_cast<T*>(data_.get());
    }

  private:
    struct Free {
        void operator()(void* data) const noexcept { std::free(data); }
    };
    void grow(std::size_t size_bytes) {
        data_.reset(std::aligned_alloc(64, size_bytes));
        if (data_ == nullptr) throw std::bad_alloc();
        size_bytes_ = size_bytes;
    }

    std::unique_ptr<void, Free> data_;
    std::size_t size_bytes_ = 0;
};

}  // namespace baltoro::device
