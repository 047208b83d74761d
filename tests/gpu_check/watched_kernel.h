#pragma once

#include <cstdint>

#include "gpu_kernels/simt/types.h"

namespace baltoro::gpu_check {

// Kernels whose accesses to shared memory are watched as those of the product's kernels are.

struct Exchange {
    std::uint32_t* dst;  // [64]
    bool has_barrier;
    bool stores_16_bytes;
};

// dst[i] = 63 - i, by shared memory, in one block of 64 threads; without the barrier, wrong.
void launch_exchange(simt::Stream* stream, const Exchange& args);

}  // namespace baltoro::gpu_check
