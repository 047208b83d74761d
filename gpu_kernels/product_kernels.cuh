#pragma once

#include "gpu_kernels/dequantise.cuh"
#include "gpu_kernels/kernels.h"
#include "gpu_kernels/panel_product.cuh"
#include "gpu_kernels/resident_experts.cuh"
#include "gpu_kernels/row_product.cuh"

namespace baltoro::gpu {
namespace {

// Products with weights.
void fill_product_kernels(Table& table) {
    table.row_product = launch_row_product;
    table.resident_gate_up = launch_resident_gate_up;
    table.resident_down = launch_resident_down;
    table.dequantise = launch_dequantise;
    table.panel_product = launch_panel_product;
    table.gated_row_product = launch_gated_row_product;
}

}  // namespace
}  // namespace baltoro::gpu
