#include "tests/cpu_kernels/bench_peak.h"

#include <stdint.h>

#include "tests/cpu_kernels/bench_pool.h"

namespace baltoro::kernels {
namespace {

constexpr int kRounds = 4'000'000;
constexpr int kChains = 12;  // registers; covers latency times width of the CPUs known

// In assembly with named registers, so that the compiler neither proves the loops away nor keeps
// the sums in memory; what the registers hold does not matter for the speed of these instructions.
void multiply_bf16() {
    for (int i = 0; i < kRounds; ++i)
        __asm__ volatile(
            ".irp r,0,1,2,3,4,5,6,7,8,9,10,11\n\t"
            "vdpbf16ps %%zmm15, %%zmm15, %%zmm\\r\n\t"
            ".endr" ::
                : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9",
                  "xmm10", "xmm11");
}

void multiply_avx512() {
    for (int i = 0; i < kRounds; ++i)
        __asm__ volatile(
            ".irp r,0,1,2,3,4,5,6,7,8,9,10,11\n\t"
            "vfmadd231ps %%zmm15, %%zmm15, %%zmm\\r\n\t"
            ".endr" ::
                : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9",
                  "xmm10", "xmm11");
}

void multiply_avx2() {
    for (int i = 0; i < kRounds; ++i)
        __asm__ volatile(
            ".irp r,0,1,2,3,4,5,6,7,8,9,10,11\n\t"
            "vfmadd231ps %%ymm15, %%ymm15, %%ymm\\r\n\t"
            ".endr" ::
                : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9",
                  "xmm10", "xmm11");
}

// One flop per instruction.
void multiply_scalar() {
    for (int i = 0; i < kRounds; ++i)
        __asm__ volatile(
            ".irp r,0,1,2,3,4,5,6,7,8,9,10,11\n\t"
            "mulss %%xmm15, %%xmm\\r\n\t"
            ".endr" ::
                : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9",
                  "xmm10", "xmm11");
}

void multiply_tiles() {
    struct alignas(64) Config {
        uint8_t palette = 1;
        uint8_t reserved[15] = {};
        uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
        uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
    } config;
    __asm__ volatile("ldtilecfg (%0)" ::"r"(&config) : "memory");
    __asm__ volatile("tilezero %tmm4\n\ttilezero %tmm5\n\ttilezero %tmm6\n\ttilezero %tmm7");
    for (int i = 0; i < kRounds / 8; ++i)
        __asm__ volatile(
            "tdpbf16ps %tmm6, %tmm4, %tmm0\n\ttdpbf16ps %tmm7, %tmm4, %tmm1\n\t"
            "tdpbf16ps %tmm6, %tmm5, %tmm2\n\ttdpbf16ps %tmm7, %tmm5, %tmm3");
    __asm__ volatile("tilerelease");
}

struct Peak {
    void (*run)();
    double flops;
};

Peak peak_of(IsaLevel level) {
    constexpr double kSteps = double{kRounds} * kChains;
    switch (level) {
        case IsaLevel::scalar:
            return {multiply_scalar, kSteps};
        case IsaLevel::avx2:
            return {multiply_avx2, kSteps * 16};
        case IsaLevel::avx512:
            return {multiply_avx512, kSteps * 32};
        case IsaLevel::avx512_bf16:
            return {multiply_bf16, kSteps * 64};
        case IsaLevel::amx:
            return {multiply_tiles, double{kRounds} / 8 * 4 * 16 * 16 * 64};
    }
    return {};
}

}  // namespace

double peak_tflops(IsaLevel level, int n_threads, Clock clock) {
    const Peak peak = peak_of(level);
    const double seconds = seconds_on_threads(n_threads, clock, [&](int) { peak.run(); });
    return peak.flops * n_threads / seconds * 1e-12;
}

}  // namespace baltoro::kernels
