// Replaces operator new of the whole executable. A file of its own, so that the compiler does not
// see through new and delete in the tests.

#include "tests/experts/allocation_count.h"

#include <atomic>
#include <cstdlib>
#include <new>

namespace {

std::atomic<int> count{0};

}  // namespace

int baltoro::testing::n_allocations() {
    return count.load();
}

void* operator new(std::size_t size_bytes, const std::nothrow_t&) noexcept {
    count.fetch_add(1, std::memory_order_relaxed);
    return std::malloc(size_bytes > 0 ? size_bytes : 1);
}

void* operator new(std::size_t size_bytes) {
    if (void* memory = operator new(size_bytes, std::nothrow)) return memory;
    throw std::bad_alloc();
}

void operator delete(void* memory) noexcept {
    std::free(memory);
}

void operator delete(void* memory, std::size_t) noexcept {
    std::free(memory);
}
