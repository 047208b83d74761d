#pragma once

#include "gpu_kernels/handoff.cuh"
#include "gpu_kernels/kernels.h"
#include "gpu_kernels/rms_norm.cuh"

namespace baltoro::gpu {
namespace {

// Row-wise and element-wise operations, the router's choice and the cache rows.
void fill_vector_kernels(Table& table) {
    table.rms_norm = launch_rms_norm;
    table.signal_host = launch_signal_host;
    table.await_host = launch_await_host;
}

}  // namespace
}  // namespace baltoro::gpu
