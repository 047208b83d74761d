// Streams and events.

#include <sched.h>

#include "tests/cuda_runtime/call.h"

using namespace baltoro;
using namespace baltoro::cuda_stand_in;

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* handle, unsigned int /*flags*/) {
    return serve([&](State& state) {
        const cudaError_t status = make_context(state);
        if (status != cudaSuccess) return status;
        auto stream = std::make_unique<Stream>(thread_state().card, state.machine.streams);
        // What the emulated kernels take for a stream.
        *handle = reinterpret_cast<cudaStream_t>(stream->emulated.handle());
        state.streams[*handle] = std::move(stream);
        return cudaSuccess;
    });
}

// CUDA does not wait; what is queued is executed all the same.
cudaError_t cudaStreamDestroy(cudaStream_t handle) {
    return serve_release([&](State& state) {
        Stream* stream = state.stream(handle);
        if (stream == nullptr) return cudaErrorInvalidResourceHandle;
        failure_so_far(state);
        const int card = stream->card;
        state.streams.erase(handle);
        rest(state, card);
        return cudaSuccess;
    });
}

cudaError_t cudaStreamSynchronize(cudaStream_t handle) {
    Stream* stream = nullptr;
    const cudaError_t status = serve([&](State& state) {
        stream = state.stream(handle);
        return stream == nullptr ? cudaErrorInvalidResourceHandle : spoil_capture(*stream);
    });
    if (status != cudaSuccess) return status;
    wait_for(*current_state(), *stream);
    return serve([&](State& state) {
        rest(state, stream->card);
        return cudaSuccess;
    });
}

cudaError_t cudaStreamQuery(cudaStream_t handle) {
    return serve([&](State& state) {
        Stream* stream = state.stream(handle);
        if (stream == nullptr) return cudaErrorInvalidResourceHandle;
        const cudaError_t status = spoil_capture(*stream);
        if (status != cudaSuccess) return status;
        if (!stream->emulated.is_idle()) return cudaErrorNotReady;
        rest(state, stream->card);
        return failure_so_far(state);
    });
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* handle, unsigned int /*flags*/) {
    return serve([&](State& state) {
        const cudaError_t status = make_context(state);
        if (status != cudaSuccess) return status;
        if (strikes(state.faults.event)) return cudaErrorMemoryAllocation;
        auto event = std::make_unique<Event>(Event{thread_state().card, nullptr});
        *handle = reinterpret_cast<cudaEvent_t>(event.get());
        state.events[*handle] = std::move(event);
        return cudaSuccess;
    });
}

cudaError_t cudaEventDestroy(cudaEvent_t handle) {
    return serve_release([&](State& state) {
        return state.events.erase(handle) == 1 ? cudaSuccess : cudaErrorInvalidResourceHandle;
    });
}

cudaError_t cudaEventRecord(cudaEvent_t handle, cudaStream_t stream_handle) {
    return serve([&](State& state) {
        Event* event = state.event(handle);
        Stream* stream = state.stream(stream_handle);
        if (event == nullptr || stream == nullptr || event->card != stream->card)
            return cudaErrorInvalidResourceHandle;
        if (stream->capture == Stream::Capture::invalidated) return spoil_capture(*stream);
        event->is_captured = stream->capture == Stream::Capture::active;
        if (event->is_captured) return cudaSuccess;
        event->is_reached = std::make_shared<std::atomic<bool>>(false);
        queue(state, *stream,
              [is_reached = event->is_reached](simt::Emulator&) { *is_reached = true; });
        return cudaSuccess;
    });
}

namespace {

cudaError_t query(cudaEvent_t handle, bool notes_unready) {
    bool is_ready = true;
    const cudaError_t status = serve([&](State& state) {
        if (spoils_capture(state)) return cudaErrorStreamCaptureUnsupported;
        const Event* event = state.event(handle);
        if (event == nullptr) return cudaErrorInvalidResourceHandle;
        if (event->is_captured) return cudaErrorCapturedEvent;
        is_ready = event->is_reached == nullptr || *event->is_reached;
        return cudaSuccess;
    });
    if (status != cudaSuccess || is_ready) return status;
    return notes_unready ? note(cudaErrorNotReady) : cudaErrorNotReady;
}

}  // namespace

cudaError_t cudaEventQuery(cudaEvent_t handle) {
    return query(handle, true);
}

cudaError_t cudaEventSynchronize(cudaEvent_t handle) {
    cudaError_t status = query(handle, false);
    while (status == cudaErrorNotReady) {
        sched_yield();
        status = query(handle, false);
    }
    return status;
}
