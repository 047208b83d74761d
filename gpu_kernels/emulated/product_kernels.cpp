#include "gpu_kernels/product_kernels.cuh"

#include "gpu_kernels/instances.h"

namespace baltoro::gpu::emulated {

void install_product_kernels(Table& table) {
    fill_product_kernels(table);
}

}  // namespace baltoro::gpu::emulated
