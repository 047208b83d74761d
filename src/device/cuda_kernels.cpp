#include "device/cuda_kernels.h"

#include <stdexcept>
#include <string>

#include "base/error.h"

namespace baltoro::device {
namespace {

template <auto kEntry>
struct Guard;

template <typename Args, void (*gpu::Table::*kEntry)(simt::Stream*, const Args&)>
struct Guard<kEntry> {
    static void launch(simt::Stream* stream, const Args& args) {
        try {
            (gpu::cuda_table().*kEntry)(stream, args);
        } catch (const std::runtime_error& error) {
            throw Error(std::string("GPU kernel ") + error.what());
        }
    }
};

// An entry that is not there stays null.
template <auto... kEntries>
gpu::Table guarded() {
    static_assert(sizeof...(kEntries) * sizeof(void (*)()) == sizeof(gpu::Table),
                  "every entry of the table is guarded");
    gpu::Table table{};
    ((table.*kEntries =
          gpu::cuda_table().*kEntries != nullptr ? &Guard<kEntries>::launch : nullptr),
     ...);
    return table;
}

}  // namespace

const gpu::Table& guarded_cuda_kernels() {
    using gpu::Table;
    static const Table table =
        guarded<&Table::embed, &Table::rms_norm, &Table::row_product, &Table::gated_row_product,
                &Table::dequantise, &Table::panel_product, &Table::silu_mul, &Table::add,
                &Table::choose_experts, &Table::resident_gate_up, &Table::resident_down,
                &Table::largest_logits, &Table::write_latent, &Table::absorb_queries,
                &Table::mla_decode, &Table::mla_combine, &Table::project_values,
                &Table::gather_latent, &Table::rotate_queries, &Table::mla_prefill,
                &Table::signal_host, &Table::await_host>();
    return table;
}

}  // namespace baltoro::device
