#include "cpu_kernels/scalar/scalar.h"

#include <stdint.h>

#include "cpu_kernels/scalar/scalar_kernels.h"

namespace baltoro::kernels {

void fill_scalar(Table& table) noexcept {
    table = {rows_product_scalar,
             rows_gate_up_scalar,
             transposed_product_scalar,
             router_product_scalar,
             pack_panel_scalar,
             panels_product_scalar,
             panels_gate_up_scalar,
             panel_scratch_bytes_scalar,
             INT32_MAX,
             rms_norm_scalar,
             softmax_block_scalar,
             bf16_from_f32_scalar,
             f32_from_bf16_scalar,
             add_scalar,
             scale_scalar};
}

}  // namespace baltoro::kernels
