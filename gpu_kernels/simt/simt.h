#pragma once

// What a kernel may use besides plain C++: the CUDA subset of gpu_kernels/README.md. nvcc compiles
// a kernel for the GPU; any other compiler makes code that the emulator runs, one fiber per thread.

#ifdef __CUDACC__
#include "gpu_kernels/simt/simt_cuda.h"
#else
#include "gpu_kernels/simt/simt_emulated.h"
#endif
