#pragma once

#include "gpu_kernels/kernels.h"

namespace baltoro::gpu {
namespace {

// Latent attention.
void fill_mla_kernels(Table& /*table*/) {}

}  // namespace
}  // namespace baltoro::gpu
