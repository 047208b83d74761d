#include "tests/gpu_check/simt_kernels.cuh"

namespace baltoro::gpu_check {

const SimtKernels& cuda_simt_kernels() {
    return kSimtKernels;
}

}  // namespace baltoro::gpu_check
