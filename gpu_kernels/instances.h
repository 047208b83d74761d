#pragma once

#include "gpu_kernels/kernels.h"

// The groups of kernels as compiled for one side; each group is a translation unit of its own.

namespace baltoro::gpu {

namespace emulated {
void install_vector_kernels(Table& table);
void install_product_kernels(Table& table);
void install_mla_kernels(Table& table);
}  // namespace emulated

namespace cuda {
void install_vector_kernels(Table& table);
void install_product_kernels(Table& table);
void install_mla_kernels(Table& table);
}  // namespace cuda

}  // namespace baltoro::gpu
