// Recording of streams, and graphs.

#include <utility>

#include "tests/cuda_runtime/call.h"

using namespace baltoro;
using namespace baltoro::cuda_stand_in;

cudaError_t cudaStreamBeginCapture(cudaStream_t handle, cudaStreamCaptureMode mode) {
    return serve([&](State& state) {
        Stream* stream = state.stream(handle);
        if (stream == nullptr) return cudaErrorInvalidResourceHandle;
        if (stream->capture != Stream::Capture::none) return cudaErrorIllegalState;
        stream->capture = Stream::Capture::active;
        stream->capture_mode = mode;
        stream->capture_thread = std::this_thread::get_id();
        stream->emulated.begin_recording();
        return cudaSuccess;
    });
}

namespace {

cudaError_t end_capture(State& state, Stream& stream, cudaGraph_t* handle) {
    if (stream.capture == Stream::Capture::none) return cudaErrorIllegalState;
    if (stream.capture_mode != cudaStreamCaptureModeRelaxed &&
        stream.capture_thread != std::this_thread::get_id())
        return cudaErrorStreamCaptureWrongThread;
    auto graph = std::make_unique<Entries>(stream.emulated.end_recording());
    const Stream::Capture capture = std::exchange(stream.capture, Stream::Capture::none);
    if (capture == Stream::Capture::invalidated) return cudaErrorStreamCaptureInvalidated;
    *handle = reinterpret_cast<cudaGraph_t>(graph.get());
    state.graphs[*handle] = std::move(graph);
    return cudaSuccess;
}

}  // namespace

// Ends the recording in any case, with a null graph if something has spoilt it.
cudaError_t cudaStreamEndCapture(cudaStream_t handle, cudaGraph_t* graph) {
    *graph = nullptr;
    return serve_release([&](State& state) {
        Stream* stream = state.stream(handle);
        if (stream == nullptr) return cudaErrorInvalidResourceHandle;
        return end_capture(state, *stream, graph);
    });
}

cudaError_t cudaGraphDestroy(cudaGraph_t handle) {
    return serve_release([&](State& state) {
        return state.graphs.erase(handle) == 1 ? cudaSuccess : cudaErrorInvalidValue;
    });
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t* handle,
                                 cudaGraph_t graph,
                                 unsigned long long /*flags*/) {
    return serve([&](State& state) {
        const auto found = state.graphs.find(graph);
        if (found == state.graphs.end()) return cudaErrorInvalidValue;
        if (strikes(state.faults.instantiation)) return cudaErrorMemoryAllocation;
        auto n_under_way = std::make_shared<std::atomic<int>>(0);
        Entries entries = *found->second;
        entries.push_back([n_under_way](simt::Emulator&) { --*n_under_way; });
        auto made = std::make_unique<Executable>();
        made->entries = std::make_shared<const Entries>(std::move(entries));
        made->n_under_way = std::move(n_under_way);
        *handle = reinterpret_cast<cudaGraphExec_t>(made.get());
        state.executables[*handle] = std::move(made);
        return cudaSuccess;
    });
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t handle, cudaStream_t stream_handle) {
    return serve([&](State& state) {
        const auto found = state.executables.find(handle);
        Stream* stream = state.stream(stream_handle);
        if (found == state.executables.end()) return cudaErrorInvalidValue;
        if (stream == nullptr) return cudaErrorInvalidResourceHandle;
        const cudaError_t status = spoil_capture(*stream);  // a graph within one is not known here
        if (status != cudaSuccess) return status;
        if (strikes(state.faults.graph_launch)) return cudaErrorMemoryAllocation;
        state.memory.set_reachable(stream->card, true);
        ++*found->second->n_under_way;
        stream->emulated.enqueue_all(found->second->entries);
        return cudaSuccess;
    });
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t handle) {
    return serve_release([&](State& state) {
        const auto found = state.executables.find(handle);
        if (found == state.executables.end()) return cudaErrorInvalidValue;
        if (*found->second->n_under_way > 0 && failure_so_far(state) == cudaSuccess)
            state.complain("a graph is destroyed while it runs");
        state.executables.erase(found);
        return cudaSuccess;
    });
}
