#pragma once

// The CUDA side: the wrappers of simt_emulated.h as instructions. See there for the contracts.

#include <cuda_bf16.h>
#include <cuda_fp8.h>
#include <cuda_runtime.h>
#include <cxxabi.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <stdexcept>
#include <string>
#include <type_traits>

#include "base/float_formats.h"
#include "gpu_kernels/simt/types.h"

namespace baltoro::simt {
// Both sides may be linked into one program: their symbols differ.
inline namespace cuda_side {

// Throws std::runtime_error with the kernel's name and the shape of its launch.
[[noreturn]] inline void report_launch(cudaError_t status,
                                       const void* kernel,
                                       const Shape& shape,
                                       size_t shared_bytes) {
    const char* name = nullptr;
    if (cudaFuncGetName(&name, kernel) != cudaSuccess) name = nullptr;
    char* plain = name != nullptr ? abi::__cxa_demangle(name, nullptr, nullptr, nullptr) : nullptr;
    const auto extent = [](const Extent& e) {
        return std::to_string(e.x) + " x " + std::to_string(e.y) + " x " + std::to_string(e.z);
    };
    const std::string text = std::string(plain != nullptr ? plain : "a kernel") +
                             ": cannot launch a grid of " + extent(shape.grid) + " blocks of " +
                             extent(shape.block) + " threads with " + std::to_string(shared_bytes) +
                             " bytes of shared memory: " + cudaGetErrorString(status) + " (" +
                             cudaGetErrorName(status) + ")";
    free(plain);
    throw std::runtime_error(text);
}

template <typename Shared>
__device__ __forceinline__ Shared& shared() {
    extern __shared__ __align__(128) unsigned char dynamic_shared[];
    return *reinterpret_cast<Shared*>(dynamic_shared);
}

template <typename T>
__device__ __forceinline__ T load16(const void* src) {
    static_assert(sizeof(T) == 16 && std::is_trivially_copyable_v<T>);
    const uint4 words = *static_cast<const uint4*>(src);
    T value;
    memcpy(&value, &words, sizeof value);
    return value;
}

template <typename T>
__device__ __forceinline__ T load16_streaming(const void* src) {
    static_assert(sizeof(T) == 16 && std::is_trivially_copyable_v<T>);
    uint4 words;
    asm volatile("ld.global.nc.L1::no_allocate.L2::256B.v4.u32 {%0, %1, %2, %3}, [%4];"
                 : "=r"(words.x), "=r"(words.y), "=r"(words.z), "=r"(words.w)
                 : "l"(src));
    T value;
    memcpy(&value, &words, sizeof value);
    return value;
}

template <typename T>
__device__ __forceinline__ void store16(void* dst, const T& value) {
    static_assert(sizeof(T) == 16 && std::is_trivially_copyable_v<T>);
    uint4 words;
    memcpy(&words, &value, sizeof words);
    *static_cast<uint4*>(dst) = words;
}

__device__ __forceinline__ float multiply_add(float a, float b, float c) {
    return __fmaf_rn(a, b, c);
}

__device__ __forceinline__ float f32_from_bf16(bf16_t value) {
    return __uint_as_float(static_cast<uint32_t>(value) << 16);
}

__device__ __forceinline__ bf16_t bf16_from_f32(float value) {
    uint16_t bits;
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(bits) : "f"(value));
    return bits;
}

__device__ __forceinline__ F32x2 f32x2_from_bf16x2(uint32_t pair) {
    return {__uint_as_float(pair << 16), __uint_as_float(pair & 0xffff0000u)};
}

__device__ __forceinline__ uint32_t bf16x2_from_f32(float low, float high) {
    uint32_t pair;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
    return pair;
}

// By the hardware's conversion from sm_89 on, by the toolkit's own code before.
__device__ __forceinline__ F32x4 f32x4_from_e4m3x4(uint32_t codes) {
    const __half2_raw low =
        __nv_cvt_fp8x2_to_halfraw2(static_cast<__nv_fp8x2_storage_t>(codes & 0xffffu), __NV_E4M3);
    const __half2_raw high =
        __nv_cvt_fp8x2_to_halfraw2(static_cast<__nv_fp8x2_storage_t>(codes >> 16), __NV_E4M3);
    const float2 a = __half22float2(low);
    const float2 b = __half22float2(high);
    return {a.x, a.y, b.x, b.y};
}

__device__ __forceinline__ void mma_bf16_16x8x16(float (&d)[4],
                                                 const uint32_t (&a)[4],
                                                 const uint32_t (&b)[2]) {
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
        "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

__device__ __forceinline__ uint32_t shared_address(const void* address) {
    return static_cast<uint32_t>(__cvta_generic_to_shared(address));
}

__device__ __forceinline__ void ldmatrix_x4(uint32_t (&r)[4], const void* row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(shared_address(row))
                 : "memory");
}

__device__ __forceinline__ void ldmatrix_x4_transposed(uint32_t (&r)[4], const void* row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(shared_address(row))
                 : "memory");
}

__device__ __forceinline__ void async_copy16(void* shared_dst,
                                             const void* src,
                                             bool is_valid = true) {
    const int n_bytes = is_valid ? 16 : 0;
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;"
                 :
                 : "r"(shared_address(shared_dst)), "l"(src), "r"(n_bytes)
                 : "memory");
}

__device__ __forceinline__ void async_commit() {
    asm volatile("cp.async.commit_group;" ::: "memory");
}

template <int kLeft>
__device__ __forceinline__ void async_wait() {
    asm volatile("cp.async.wait_group %0;" ::"n"(kLeft) : "memory");
}

__device__ __forceinline__ void store_release_system(uint32_t* flag, uint32_t value) {
    asm volatile("st.release.sys.global.u32 [%0], %1;" ::"l"(flag), "r"(value) : "memory");
}

__device__ __forceinline__ uint32_t load_acquire_system(const uint32_t* flag) {
    uint32_t value;
    asm volatile("ld.acquire.sys.global.u32 %0, [%1];" : "=r"(value) : "l"(flag) : "memory");
    return value;
}

__device__ __forceinline__ void spin_pause() {
    __nanosleep(20);
}

template <typename Shared, typename Args>
void launch(Stream* stream, const Shape& shape, void (*kernel)(Args), const Args& args) {
    static_assert(std::is_trivially_copyable_v<Args>);
    constexpr size_t shared_bytes = std::is_empty_v<Shared> ? 0 : sizeof(Shared);
    cudaError_t status = cudaSuccess;
    if constexpr (shared_bytes > (size_t{48} << 10))
        status = cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel),
                                      cudaFuncAttributeMaxDynamicSharedMemorySize, shared_bytes);
    if (status == cudaSuccess) {
        const dim3 grid(shape.grid.x, shape.grid.y, shape.grid.z);
        const dim3 block(shape.block.x, shape.block.y, shape.block.z);
        kernel<<<grid, block, shared_bytes, reinterpret_cast<cudaStream_t>(stream)>>>(args);
    }
    const cudaError_t launched = cudaGetLastError();  // forgets what the attribute's call left
    if (status == cudaSuccess) status = launched;
    if (status != cudaSuccess)
        report_launch(status, reinterpret_cast<const void*>(kernel), shape, shared_bytes);
}

}  // namespace cuda_side
}  // namespace baltoro::simt
