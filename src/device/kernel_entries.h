#pragma once

#include "gpu_kernels/kernels.h"

namespace baltoro::device {

// Every entry of gpu::Table, for those who make one table of another.
template <auto... kEntries>
struct KernelEntries {
    static_assert(sizeof...(kEntries) * sizeof(void (*)()) == sizeof(gpu::Table),
                  "every entry of the table is listed");
};

using AllKernels = KernelEntries<&gpu::Table::embed,
                                 &gpu::Table::rms_norm,
                                 &gpu::Table::row_product,
                                 &gpu::Table::gated_row_product,
                                 &gpu::Table::dequantise,
                                 &gpu::Table::panel_product,
                                 &gpu::Table::silu_mul,
                                 &gpu::Table::add,
                                 &gpu::Table::choose_experts,
                                 &gpu::Table::resident_gate_up,
                                 &gpu::Table::resident_down,
                                 &gpu::Table::largest_logits,
                                 &gpu::Table::write_latent,
                                 &gpu::Table::absorb_queries,
                                 &gpu::Table::mla_decode,
                                 &gpu::Table::mla_combine,
                                 &gpu::Table::project_values,
                                 &gpu::Table::gather_latent,
                                 &gpu::Table::rotate_queries,
                                 &gpu::Table::mla_prefill,
                                 &gpu::Table::signal_host,
                                 &gpu::Table::await_host>;

}  // namespace baltoro::device
