// The table of nvcc's kernels: the emulated ones, launched as CUDA launches.

#include <functional>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <vector>

#include <boost/pfr.hpp>

#include "device/kernel_entries.h"
#include "tests/cuda_runtime/call.h"

namespace baltoro::cuda_stand_in {
namespace {

// The pointers among a kernel's arguments.
template <typename T>
void collect_pointers(const T& value, std::vector<const void*>& pointers) {
    if constexpr (std::is_pointer_v<T>)
        pointers.push_back(value);
    else if constexpr (std::is_class_v<T>)
        boost::pfr::for_each_field(value,
                                   [&](const auto& field) { collect_pointers(field, pointers); });
}

// What a kernel may not touch shows when it is executed: memory of the host alone, of another card,
// or that is gone.
void begin_kernel(State& state, int card, const std::vector<const void*>& pointers) {
    if (strikes(state.faults.kernel)) throw KernelFailure{cudaErrorLaunchFailure};
    for (const void* pointer : pointers) {
        if (pointer == nullptr) continue;
        const Range range = state.memory.find(pointer, 1);
        const bool is_reachable =
            range.place == Place::pinned || (range.place == Place::device && range.card == card);
        if (!is_reachable || range.is_broken) throw KernelFailure{cudaErrorIllegalAddress};
    }
}

// Throws as simt::launch() does in simt_cuda.h: with what is noted, be it older than the launch.
void launch(simt::Stream* handle,
            std::vector<const void*> pointers,
            const std::function<void()>& queue_kernel) {
    (void)serve([&](State& state) {
        Stream* stream = state.stream(reinterpret_cast<cudaStream_t>(handle));
        if (stream == nullptr || stream->card != thread_state().card)
            return cudaErrorInvalidResourceHandle;
        if (stream->capture == Stream::Capture::invalidated) return spoil_capture(*stream);
        if (strikes(state.faults.launch)) return cudaErrorMemoryAllocation;
        queue(state, *stream,
              [&state, card = stream->card, given = std::move(pointers)](simt::Emulator&) {
                  begin_kernel(state, card, given);
              });
        queue_kernel();
        return cudaSuccess;
    });
    const cudaError_t status = cudaGetLastError();
    if (status != cudaSuccess)
        throw std::runtime_error(std::string("a kernel: cannot launch: ") +
                                 cudaGetErrorString(status));
}

template <auto kEntry>
struct StandIn;

template <typename Args, void (*gpu::Table::*kEntry)(simt::Stream*, const Args&)>
struct StandIn<kEntry> {
    static void launch(simt::Stream* stream, const Args& args) {
        std::vector<const void*> pointers;
        collect_pointers(args, pointers);
        cuda_stand_in::launch(stream, std::move(pointers),
                              [&] { (gpu::emulated_table().*kEntry)(stream, args); });
    }
};

template <auto... kEntries>
gpu::Table stand_in(device::KernelEntries<kEntries...>) {
    gpu::Table table{};
    ((table.*kEntries = &StandIn<kEntries>::launch), ...);
    return table;
}

}  // namespace
}  // namespace baltoro::cuda_stand_in

namespace baltoro::gpu {

const Table& cuda_table() {
    static const Table table = cuda_stand_in::stand_in(device::AllKernels{});
    return table;
}

}  // namespace baltoro::gpu
