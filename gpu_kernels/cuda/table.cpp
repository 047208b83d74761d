#include "gpu_kernels/instances.h"

namespace baltoro::gpu {

const Table& cuda_table() {
    static const Table table = [] {
        Table filled{};
        cuda::install_vector_kernels(filled);
        cuda::install_product_kernels(filled);
        cuda::install_mla_kernels(filled);
        return filled;
    }();
    return table;
}

}  // namespace baltoro::gpu
