#pragma once

#include "gpu_kernels/kernels.h"

namespace baltoro::gpu {
namespace {

// Products with weights.
void fill_product_kernels(Table& /*table*/) {}

}  // namespace
}  // namespace baltoro::gpu
