#pragma once

// The emulated side: CUDA's keywords and functions mapped to the fiber scheduler of emulator.h.
// Every warp operation is a point where lanes meet; lanes of one warp that meet in different
// operations, or a lane that leaves while others wait for it, end the launch with an error.

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <type_traits>

#include "base/float_formats.h"
#include "gpu_kernels/simt/emulated_stream.h"
#include "gpu_kernels/simt/emulator.h"
#include "gpu_kernels/simt/types.h"

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)

#define threadIdx (::baltoro::simt::current_lane->thread_idx)
#define blockIdx (::baltoro::simt::current_lane->block_idx)
#define blockDim (::baltoro::simt::current_lane->block_dim)
#define gridDim (::baltoro::simt::current_lane->grid_dim)

inline float rsqrtf(float x) {
    return 1.0f / sqrtf(x);
}

inline void __syncthreads() {
    baltoro::simt::meet_block();
}

inline void __syncwarp(uint32_t mask = 0xffffffffu) {
    baltoro::simt::meet_warp(baltoro::simt::WarpOp::sync, mask, nullptr, 0);
}

template <typename T>
T __shfl_sync(uint32_t mask, T value, int src_lane) {
    static_assert(sizeof(T) == 4 || sizeof(T) == 8);
    baltoro::simt::meet_warp(baltoro::simt::WarpOp::shuffle, mask, &value, sizeof(T));
    if ((mask >> (src_lane & 31) & 1u) == 0)
        baltoro::simt::fail("a shuffle reads a lane outside its mask");
    memcpy(&value, baltoro::simt::shown_by(src_lane & 31), sizeof(T));
    return value;
}

template <typename T>
T __shfl_xor_sync(uint32_t mask, T value, int lane_mask) {
    return __shfl_sync(mask, value, baltoro::simt::lane_idx() ^ lane_mask);
}

template <typename T>
T __shfl_down_sync(uint32_t mask, T value, unsigned delta) {
    const int src = baltoro::simt::lane_idx() + static_cast<int>(delta);
    return __shfl_sync(mask, value, src < 32 ? src : baltoro::simt::lane_idx());
}

inline uint32_t __ballot_sync(uint32_t mask, int predicate) {
    const uint32_t vote = predicate != 0 ? 1u : 0u;
    baltoro::simt::meet_warp(baltoro::simt::WarpOp::ballot, mask, &vote, sizeof vote);
    uint32_t result = 0;
    for (int l = 0; l < 32; l++) {
        uint32_t seen = 0;
        if ((mask >> l & 1u) != 0) memcpy(&seen, baltoro::simt::shown_by(l), sizeof seen);
        result |= seen << l;
    }
    return result;
}

template <typename T>
T atomicAdd(T* address, T value) {
    if constexpr (std::is_floating_point_v<T>) {
        T seen = *address;
        T wanted = seen + value;
        while (!__atomic_compare_exchange(address, &seen, &wanted, true, __ATOMIC_RELAXED,
                                          __ATOMIC_RELAXED))
            wanted = seen + value;
        return seen;
    } else {
        return __atomic_fetch_add(address, value, __ATOMIC_RELAXED);
    }
}

namespace baltoro::simt {
// Both sides may be linked into one program: their symbols differ.
inline namespace emulated_side {

// The block's one shared object; its bytes are poison (NaN, -1) until they are written.
template <typename Shared>
Shared& shared() {
    return *static_cast<Shared*>(shared_memory(sizeof(Shared)));
}

// T is a plain type of 16 bytes; the address is a multiple of 16.
template <typename T>
T load16(const void* src) {
    static_assert(sizeof(T) == 16 && std::is_trivially_copyable_v<T>);
    require_aligned(src, 16, "load16");
    T value;
    memcpy(&value, src, sizeof value);
    return value;
}

// The same for weights that are read once: on the GPU it leaves the first-level cache alone.
template <typename T>
T load16_streaming(const void* src) {
    return load16<T>(src);
}

template <typename T>
void store16(void* dst, const T& value) {
    static_assert(sizeof(T) == 16 && std::is_trivially_copyable_v<T>);
    require_aligned(dst, 16, "store16");
    memcpy(dst, &value, sizeof value);
}

// a b + c; on the GPU in one rounding.
inline float multiply_add(float a, float b, float c) {
    return a * b + c;
}

inline float f32_from_bf16(bf16_t value) {
    return float_from_bf16(value);
}

// Rounds to nearest even.
inline bf16_t bf16_from_f32(float value) {
    return bf16_from_float(value);
}

// Two bf16 in one register, the first in the low half.
inline F32x2 f32x2_from_bf16x2(uint32_t pair) {
    return {float_from_bits(pair << 16), float_from_bits(pair & 0xffff0000u)};
}

inline uint32_t bf16x2_from_f32(float low, float high) {
    return static_cast<uint32_t>(bf16_from_float(low)) |
           static_cast<uint32_t>(bf16_from_float(high)) << 16;
}

// Four e4m3 codes, the first in the low byte; exact, subnormals and NaN included.
inline F32x4 f32x4_from_e4m3x4(uint32_t codes) {
    return {float_from_e4m3(static_cast<e4m3_t>(codes & 0xffu)),
            float_from_e4m3(static_cast<e4m3_t>(codes >> 8 & 0xffu)),
            float_from_e4m3(static_cast<e4m3_t>(codes >> 16 & 0xffu)),
            float_from_e4m3(static_cast<e4m3_t>(codes >> 24))};
}

// d += a b on one warp. Fragments as PTX's mma.sync.m16n8k16 lays them out, g = lane / 4 and
// t = lane % 4: a[0..3] hold rows g, g+8, g, g+8 at k = 2t, 2t, 2t+8, 2t+8 (two values each);
// b[0..1] hold column g at k = 2t and 2t+8; d holds rows g, g, g+8, g+8 at columns 2t, 2t+1, 2t,
// 2t+1. All 32 lanes take part.
void mma_bf16_16x8x16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]);

// Four 8 x 8 matrices of bf16 from shared memory: lane l gives the address of row l % 8 of matrix
// l / 8 (16 bytes, aligned); r[m] gets row g, columns 2t and 2t+1 of matrix m. The transposed form
// gets rows 2t and 2t+1 of column g. All 32 lanes take part.
void ldmatrix_x4(uint32_t (&r)[4], const void* row);
void ldmatrix_x4_transposed(uint32_t (&r)[4], const void* row);

// Starts copying 16 bytes from global to shared memory; nothing (and the source is not read) but
// zeros arrive if !is_valid. They arrive no sooner than at the async_wait for their group, are seen
// by other lanes after a barrier behind it, and read as poison until then.
void async_copy16(void* shared_dst, const void* src, bool is_valid = true);
// Closes this thread's group of copies.
void async_commit();
void async_wait_groups(int n_left);
// Waits until at most kLeft of this thread's groups are still open.
template <int kLeft>
void async_wait() {
    async_wait_groups(kLeft);
}

// Flags in memory that device and host share.
inline void store_release_system(uint32_t* flag, uint32_t value) {
    __atomic_store_n(flag, value, __ATOMIC_RELEASE);
}
inline uint32_t load_acquire_system(const uint32_t* flag) {
    return __atomic_load_n(flag, __ATOMIC_ACQUIRE);
}
// One turn of a loop that waits for such a flag.
void spin_pause();

// Queues kernel(args) with sizeof(Shared) bytes of shared memory; errors show when the stream is
// waited for.
template <typename Shared, typename Args>
void launch(Stream* stream, const Shape& shape, void (*kernel)(Args), const Args& args) {
    static_assert(std::is_trivially_copyable_v<Args>);
    constexpr size_t shared_bytes = std::is_empty_v<Shared> ? 0 : sizeof(Shared);
    EmulatedStream::of(stream).enqueue(
        [=](Emulator& emulator) { emulator.run(shape, shared_bytes, [&] { kernel(args); }); });
}

}  // namespace emulated_side
}  // namespace baltoro::simt
