#pragma once

#include "gpu_kernels/simt/simt.h"

namespace baltoro::gpu {
namespace {

constexpr float kLog2E = 1.44269504088896340736f;

// The softmax of one row so far, in powers of two: the largest score times log2 e, and the sum of
// exp2(score - max), of which each of the row's threads holds a share.
struct RunningSoftmax {
    float max = -INFINITY;
    float sum = 0.0f;
};

}  // namespace
}  // namespace baltoro::gpu
