#include "tests/sampling/allocation_count.h"

#include <cstddef>
#include <cstdlib>
#include <new>

namespace {

long g_n_allocations = 0;  // the tests have one thread

}  // namespace

namespace baltoro {

long n_allocations() {
    return g_n_allocations;
}

}  // namespace baltoro

void* operator new(std::size_t size) {
    ++g_n_allocations;
    if (void* memory = std::malloc(size)) return memory;
    throw std::bad_alloc();
}
void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
    ++g_n_allocations;
    return std::malloc(size);
}
void operator delete(void* memory) noexcept {
    std::free(memory);
}
void operator delete(void* memory, std::size_t) noexcept {
    std::free(memory);
}
