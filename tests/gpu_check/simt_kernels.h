#pragma once

#include <stdint.h>

#include "gpu_kernels/simt/types.h"

// One small kernel per wrapper of gpu_kernels/simt, compiled for both sides; the checks compare
// what they write with values worked out on the host.

namespace baltoro::gpu_check {

// What a kernel reads and writes; the comment of each says how much.
struct SimtProbe {
    const void* src;
    void* dst;
};

struct SimtKernels {
    using Launch = void (*)(simt::Stream*, const SimtProbe&);
    Launch indices;
    Launch shuffles;
    Launch ballots;
    Launch large_shared;
    Launch mma;
    Launch ldmatrix;
    Launch async_copies;
    Launch loads_and_stores;
    Launch e4m3;
    Launch bf16_to_f32;
    Launch f32_to_bf16;
    Launch arithmetic;
    Launch atomics;
    Launch flags;
};

const SimtKernels& emulated_simt_kernels();
const SimtKernels& cuda_simt_kernels();

}  // namespace baltoro::gpu_check
