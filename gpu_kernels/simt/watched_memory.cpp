// What -fsanitize=thread makes of the accesses to memory of kernels that are compiled with it:
// calls of these functions, which here take the place of the sanitizer's own and hand the accesses
// to the emulator. They serve the kernels of one program, gpu_check_races.

#include <cstddef>
#include <cstdint>

#include "gpu_kernels/simt/emulator.h"

using baltoro::simt::note_access;

// The names are the compilers'.
// NOLINTBEGIN(bugprone-reserved-identifier)
extern "C" {
void __tsan_init() {}
void __tsan_func_entry(void* /*caller*/) {}
void __tsan_func_exit() {}

void __tsan_read1(void* at) {
    note_access(at, 1, false);
}
void __tsan_read2(void* at) {
    note_access(at, 2, false);
}
void __tsan_read4(void* at) {
    note_access(at, 4, false);
}
void __tsan_read8(void* at) {
    note_access(at, 8, false);
}
void __tsan_read16(void* at) {
    note_access(at, 16, false);
}
void __tsan_read_range(void* at, std::size_t n_bytes) {
    note_access(at, n_bytes, false);
}
void __tsan_write1(void* at) {
    note_access(at, 1, true);
}
void __tsan_write2(void* at) {
    note_access(at, 2, true);
}
void __tsan_write4(void* at) {
    note_access(at, 4, true);
}
void __tsan_write8(void* at) {
    note_access(at, 8, true);
}
void __tsan_write16(void* at) {
    note_access(at, 16, true);
}
void __tsan_write_range(void* at, std::size_t n_bytes) {
    note_access(at, n_bytes, true);
}

// Clang's, where it cannot tell the alignment.
void __tsan_unaligned_read2(void* at) {
    note_access(at, 2, false);
}
void __tsan_unaligned_read4(void* at) {
    note_access(at, 4, false);
}
void __tsan_unaligned_read8(void* at) {
    note_access(at, 8, false);
}
void __tsan_unaligned_read16(void* at) {
    note_access(at, 16, false);
}
void __tsan_unaligned_write2(void* at) {
    note_access(at, 2, true);
}
void __tsan_unaligned_write4(void* at) {
    note_access(at, 4, true);
}
void __tsan_unaligned_write8(void* at) {
    note_access(at, 8, true);
}
void __tsan_unaligned_write16(void* at) {
    note_access(at, 16, true);
}

// The emulator is one thread, and the host's flags are not shared memory.
std::uint32_t __tsan_atomic32_fetch_add(volatile std::uint32_t* at, std::uint32_t value, int) {
    return __atomic_fetch_add(at, value, __ATOMIC_SEQ_CST);
}
std::uint32_t __tsan_atomic32_load(const volatile std::uint32_t* at, int) {
    return __atomic_load_n(at, __ATOMIC_SEQ_CST);
}
void __tsan_atomic32_store(volatile std::uint32_t* at, std::uint32_t value, int) {
    __atomic_store_n(at, value, __ATOMIC_SEQ_CST);
}
}
// NOLINTEND(bugprone-reserved-identifier)
