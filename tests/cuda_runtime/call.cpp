#include "tests/cuda_runtime/call.h"

#include <utility>

namespace baltoro::cuda_stand_in {
namespace {

constexpr std::size_t kContextBytes = std::size_t{300} << 20;  // some of every card's memory

// What the stream has thrown; it has nothing to do any more.
cudaError_t take_failure(Stream& stream) {
    try {
        stream.emulated.wait();
    } catch (const KernelFailure& failure) {
        return failure.status;
    } catch (const simt::KernelError&) {
        return cudaErrorLaunchFailure;
    }
    return cudaSuccess;
}

}  // namespace

cudaError_t note(cudaError_t status) {
    if (status != cudaSuccess) thread_state().last_error = status;
    return status;
}

cudaError_t find_driver(const State* state) {
    if (state == nullptr) return cudaErrorInitializationError;
    if (state->machine.driver_version < CUDART_VERSION) return cudaErrorInsufficientDriver;
    return state->machine.cards.empty() ? cudaErrorNoDevice : cudaSuccess;
}

cudaError_t failure_so_far(State& state) {
    for (const auto& [handle, stream] : state.streams) {
        if (state.failure != cudaSuccess) break;
        if (stream->emulated.has_failed()) state.failure = take_failure(*stream);
    }
    return state.failure;
}

cudaError_t make_context(State& state) {
    const int idx = thread_state().card;
    if (state.has_context[idx]) return cudaSuccess;
    const Card& card = state.machine.cards[static_cast<std::size_t>(idx)];
    if (card.is_held_alone) return cudaErrorDevicesUnavailable;
    if (card.total_bytes - card.taken_bytes < kContextBytes) return cudaErrorMemoryAllocation;
    state.has_context[idx] = true;
    return cudaSuccess;
}

std::size_t free_bytes(const State& state, int card) {
    const Card& config = state.machine.cards[static_cast<std::size_t>(card)];
    return config.total_bytes - config.taken_bytes - kContextBytes - state.memory.used_bytes(card);
}

void wait_for(State& state, Stream& stream) {
    const cudaError_t failure = take_failure(stream);
    if (failure == cudaSuccess) return;
    const std::lock_guard lock(state.mutex);
    if (state.failure == cudaSuccess) state.failure = failure;
}

bool spoils_capture(State& state) {
    bool spoils = false;
    for (const auto& [handle, stream] : state.streams) {
        if (stream->capture == Stream::Capture::none) continue;
        if (stream->capture_mode == cudaStreamCaptureModeRelaxed) continue;
        if (stream->capture_mode == cudaStreamCaptureModeThreadLocal &&
            stream->capture_thread != std::this_thread::get_id())
            continue;
        stream->capture = Stream::Capture::invalidated;
        spoils = true;
    }
    return spoils;
}

cudaError_t spoil_capture(Stream& stream) {
    if (stream.capture == Stream::Capture::none) return cudaSuccess;
    const bool was_spoilt = stream.capture == Stream::Capture::invalidated;
    stream.capture = Stream::Capture::invalidated;
    return was_spoilt ? cudaErrorStreamCaptureInvalidated : cudaErrorStreamCaptureUnsupported;
}

void queue(State& state, Stream& stream, simt::EmulatedStream::Entry entry) {
    if (stream.capture == Stream::Capture::none) state.memory.set_reachable(stream.card, true);
    stream.emulated.enqueue(std::move(entry));
}

void rest(State& state, int card) {
    if (state.is_idle(card)) state.memory.set_reachable(card, false);
}

}  // namespace baltoro::cuda_stand_in
