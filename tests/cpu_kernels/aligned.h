#pragma once

#include <cstddef>
#include <new>
#include <utility>

namespace baltoro::kernels {

template <typename T>
struct Aligned {
    explicit Aligned(size_t n) : n_elements(n), memory(new (std::align_val_t{64}) T[n]()) {}
    ~Aligned() { ::operator delete[](memory, std::align_val_t{64}); }
    Aligned(Aligned&& other) noexcept
        : n_elements(other.n_elements), memory(std::exchange(other.memory, nullptr)) {}
    Aligned& operator=(Aligned&&) = delete;
    size_t n_elements;
    T* memory;
};

}  // namespace baltoro::kernels
