#include "gpu_kernels/mla_kernels.cuh"

#include "gpu_kernels/instances.h"

namespace baltoro::gpu::emulated {

void install_mla_kernels(Table& table) {
    fill_mla_kernels(table);
}

}  // namespace baltoro::gpu::emulated
