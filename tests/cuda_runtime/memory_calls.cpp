// Memory and copies.

#include <sched.h>

#include <cstring>
#include <vector>

#include "tests/cuda_runtime/call.h"

using namespace baltoro;
using namespace baltoro::cuda_stand_in;

cudaError_t cudaMalloc(void** data, std::size_t size_bytes) {
    return serve([&](State& state) {
        if (spoils_capture(state)) return cudaErrorStreamCaptureUnsupported;
        const cudaError_t status = make_context(state);
        if (status != cudaSuccess) return status;
        const int card = thread_state().card;
        if (strikes(state.faults.device_allocation) || size_bytes > free_bytes(state, card))
            return cudaErrorMemoryAllocation;
        *data = state.memory.add(size_bytes, Place::device, card);
        return cudaSuccess;
    });
}

cudaError_t cudaHostAlloc(void** data, std::size_t size_bytes, unsigned int /*flags*/) {
    return serve([&](State& state) {
        if (spoils_capture(state)) return cudaErrorStreamCaptureUnsupported;
        const cudaError_t status = make_context(state);
        if (status != cudaSuccess) return status;
        if (strikes(state.faults.host_allocation)) return cudaErrorMemoryAllocation;
        *data = state.memory.add(size_bytes, Place::pinned, thread_state().card);
        return cudaSuccess;
    });
}

namespace {

// CUDA waits for the card where memory that goes may be in use, but does not promise it.
cudaError_t release(void* data, Place place) {
    return serve_release([&](State& state) {
        if (data == nullptr) return cudaSuccess;
        if (spoils_capture(state)) return cudaErrorStreamCaptureUnsupported;
        const int card = state.memory.find(data, 1).card;
        const bool is_idle = state.failure != cudaSuccess || state.is_idle(card);
        if (!state.memory.remove(data, place)) return cudaErrorInvalidValue;
        if (!is_idle) state.complain("memory is released while the card is at work");
        return cudaSuccess;
    });
}

// The memory of one end of a copy, as a stream of `card` may use it.
cudaError_t find_end(State& state, const void* data, std::size_t n, int card, Place& place) {
    const Range range = state.memory.find(data, n);
    place = range.place;
    if (range.is_broken) return cudaErrorInvalidValue;
    if (range.place == Place::device && range.card != card)
        state.complain("a stream copies another card's memory");
    return cudaSuccess;
}

// As if the kernel before had failed just now.
cudaError_t fail(State& state, Stream& stream) {
    queue(state, stream, [](simt::Emulator&) { throw KernelFailure{cudaErrorLaunchFailure}; });
    while (failure_so_far(state) == cudaSuccess)
        sched_yield();
    return state.failure;
}

}  // namespace

cudaError_t cudaFree(void* data) {
    return release(data, Place::device);
}

cudaError_t cudaFreeHost(void* data) {
    return release(data, Place::pinned);
}

cudaError_t cudaMemsetAsync(void* dst, int value, std::size_t n, cudaStream_t handle) {
    return serve([&](State& state) {
        Stream* stream = state.stream(handle);
        if (stream == nullptr) return cudaErrorInvalidResourceHandle;
        if (stream->capture == Stream::Capture::invalidated) return spoil_capture(*stream);
        Place place{};
        const cudaError_t status = find_end(state, dst, n, stream->card, place);
        if (status != cudaSuccess) return status;
        if (place != Place::device) return cudaErrorInvalidValue;
        if (strikes(state.faults.clearing)) return fail(state, *stream);
        queue(state, *stream, [=](simt::Emulator&) { std::memset(dst, value, n); });
        return cudaSuccess;
    });
}

// Reads pageable memory before it returns, pinned memory when the stream comes to it; has written
// pageable memory when it returns, and from host to host is a plain copy behind the stream's work
// ("API synchronization behavior" in NVIDIA's reference of the runtime).
cudaError_t cudaMemcpyAsync(
    void* dst, const void* src, std::size_t n, cudaMemcpyKind kind, cudaStream_t handle) {
    Stream* waited_for = nullptr;
    const cudaError_t status = serve([&](State& state) {
        Stream* stream = state.stream(handle);
        if (stream == nullptr) return cudaErrorInvalidResourceHandle;
        if (stream->capture == Stream::Capture::invalidated) return spoil_capture(*stream);
        const Card& card = state.machine.cards[static_cast<std::size_t>(stream->card)];
        if (kind != cudaMemcpyDefault || !card.has_unified_addressing) return cudaErrorInvalidValue;
        Place from{};
        Place to{};
        cudaError_t found = find_end(state, src, n, stream->card, from);
        if (found == cudaSuccess) found = find_end(state, dst, n, stream->card, to);
        if (found != cudaSuccess) return found;
        const bool is_on_host = from != Place::device && to != Place::device;
        if (from == Place::pageable || to == Place::pageable || is_on_host) {
            if (stream->capture != Stream::Capture::none) return spoil_capture(*stream);
        }
        if (to == Place::pageable || is_on_host) waited_for = stream;
        if (from == Place::pageable) {
            const auto* bytes = static_cast<const std::byte*>(src);
            queue(state, *stream,
                  [dst, staged = std::vector<std::byte>(bytes, bytes + n)](simt::Emulator&) {
                      std::memcpy(dst, staged.data(), staged.size());
                  });
        } else {
            queue(state, *stream, [=](simt::Emulator&) { std::memcpy(dst, src, n); });
        }
        return cudaSuccess;
    });
    if (status != cudaSuccess || waited_for == nullptr) return status;
    wait_for(*current_state(), *waited_for);
    return serve([](State&) { return cudaSuccess; });
}
