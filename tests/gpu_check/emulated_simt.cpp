#include "tests/gpu_check/simt_kernels.cuh"

namespace baltoro::gpu_check {

const SimtKernels& emulated_simt_kernels() {
    return kSimtKernels;
}

}  // namespace baltoro::gpu_check
