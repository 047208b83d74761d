#pragma once

#include <exception>
#include <mutex>

#include "tests/cuda_runtime/state.h"

// What is common to the runtime's calls.

namespace baltoro::cuda_stand_in {

// Of an entry of a stream, as a kernel fails.
struct KernelFailure {
    cudaError_t status;
};

// The thread's last error is what cudaGetLastError() tells.
cudaError_t note(cudaError_t status);

// cudaErrorInsufficientDriver, cudaErrorNoDevice, or that a process exists.
cudaError_t find_driver(const State* state);

// The failure of a kernel so far, which all calls return from then on. With the lock.
cudaError_t failure_so_far(State& state);

// Makes the context of the thread's card, as the first call that needs one does. With the lock.
cudaError_t make_context(State& state);

// Bytes that cudaMalloc can still give. With the lock.
std::size_t free_bytes(const State& state, int card);

// Waits, without the lock, until the stream has nothing to do; its failure becomes the process's.
void wait_for(State& state, Stream& stream);

// Whether the thread records a stream, so that calls are refused that might act on more than the
// recording: see cudaThreadExchangeStreamCaptureMode(). Ends the recording. With the lock.
bool spoils_capture(State& state);
// The same for a call about the stream that is recorded itself. With the lock.
cudaError_t spoil_capture(Stream& stream);

// Queues an entry, or records it. With the lock.
void queue(State& state, Stream& stream, simt::EmulatedStream::Entry entry);

// Takes the memory of cards without work from the host. With the lock.
void rest(State& state, int card);

// A call of the runtime: `body(state)` with the lock, unless there is no driver or a kernel has
// failed.
template <typename Body>
cudaError_t serve(const Body& body) {
    State* state = current_state();
    cudaError_t status = find_driver(state);
    if (status != cudaSuccess) return note(status);
    const std::lock_guard lock(state->mutex);
    status = failure_so_far(*state);
    return note(status != cudaSuccess ? status : body(*state));
}

// A call that gives something back: it is gone also after a kernel's failure, which is returned.
template <typename Body>
cudaError_t serve_release(const Body& body) {
    State* state = current_state();
    cudaError_t status = find_driver(state);
    if (status != cudaSuccess) return note(status);
    const std::lock_guard lock(state->mutex);
    status = body(*state);
    const cudaError_t failure = failure_so_far(*state);
    return note(failure != cudaSuccess ? failure : status);
}

}  // namespace baltoro::cuda_stand_in
