#pragma once

#include "gpu_kernels/choose_experts.cuh"
#include "gpu_kernels/elementwise.cuh"
#include "gpu_kernels/handoff.cuh"
#include "gpu_kernels/kernels.h"
#include "gpu_kernels/largest_logits.cuh"
#include "gpu_kernels/rms_norm.cuh"
#include "gpu_kernels/write_latent.cuh"

namespace baltoro::gpu {
namespace {

// Row-wise and element-wise operations, the router's choice, the best logits and the cache rows.
void fill_vector_kernels(Table& table) {
    table.embed = launch_embed;
    table.rms_norm = launch_rms_norm;
    table.add = launch_add;
    table.silu_mul = launch_silu_mul;
    table.write_latent = launch_write_latent;
    table.choose_experts = launch_choose_experts;
    table.largest_logits = launch_largest_logits;
    table.signal_host = launch_signal_host;
    table.await_host = launch_await_host;
}

}  // namespace
}  // namespace baltoro::gpu
