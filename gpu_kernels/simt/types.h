#pragma once

#include <stdint.h>

// Plain types shared by both sides of simt/ and by the hosts of kernels.

namespace baltoro::simt {

// A queue of device work, executed in order: a cudaStream_t, or an EmulatedStream. Opaque here.
struct Stream;

struct Extent {
    uint32_t x = 1;
    uint32_t y = 1;
    uint32_t z = 1;
};

// The grid and the block of a launch.
struct Shape {
    Extent grid;
    Extent block;
};

// For kernels without shared memory.
struct NoShared {};

struct alignas(16) U32x4 {
    uint32_t x, y, z, w;
};
struct alignas(8) U32x2 {
    uint32_t x, y;
};
struct alignas(16) F32x4 {
    float x, y, z, w;
};
struct alignas(8) F32x2 {
    float x, y;
};

}  // namespace baltoro::simt
