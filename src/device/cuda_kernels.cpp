#include "device/cuda_kernels.h"

#include <stdexcept>
#include <string>

#include "base/error.h"
#include "device/cuda_call.h"
#include "device/kernel_entries.h"

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
            // The kernel may not be to blame.
            require_going(reinterpret_cast<cudaStream_t>(stream), "GPU");
            throw Error(std::string("GPU kernel ") + error.what());
        }
    }
};

// An entry that is not there stays null.
template <auto... kEntries>
gpu::Table guarded(KernelEntries<kEntries...>) {
    gpu::Table table{};
    ((table.*kEntries =
          gpu::cuda_table().*kEntries != nullptr ? &Guard<kEntries>::launch : nullptr),
     ...);
    return table;
}

}  // namespace

const gpu::Table& guarded_cuda_kernels() {
    static const gpu::Table table = guarded(AllKernels{});
    return table;
}

}  // namespace baltoro::device
