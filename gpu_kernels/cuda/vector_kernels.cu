#include "gpu_kernels/vector_kernels.cuh"

#include "gpu_kernels/instances.h"

namespace baltoro::gpu::cuda {

void install_vector_kernels(Table& table) {
    fill_vector_kernels(table);
}

}  // namespace baltoro::gpu::cuda
