#pragma once

#include "gpu_kernels/absorb_queries.cuh"
#include "gpu_kernels/kernels.h"
#include "gpu_kernels/mla_combine.cuh"
#include "gpu_kernels/mla_copies.cuh"
#include "gpu_kernels/mla_decode.cuh"
#include "gpu_kernels/mla_prefill.cuh"
#include "gpu_kernels/project_values.cuh"

namespace baltoro::gpu {
namespace {

// Latent attention.
void fill_mla_kernels(Table& table) {
    table.absorb_queries = launch_absorb_queries;
    table.mla_decode = launch_mla_decode;
    table.mla_combine = launch_mla_combine;
    table.project_values = launch_project_values;
    table.rotate_queries = launch_rotate_queries;
    table.mla_prefill = launch_mla_prefill;
    table.gather_latent = launch_gather_latent;
}

}  // namespace
}  // namespace baltoro::gpu
