#include "gpu_kernels/instances.h"

namespace baltoro::gpu {

const Table& emulated_table() {
    static const Table table = [] {
        Table filled{};
        emulated::install_vector_kernels(filled);
        emulated::install_product_kernels(filled);
        emulated::install_mla_kernels(filled);
        return filled;
    }();
    return table;
}

}  // namespace baltoro::gpu
