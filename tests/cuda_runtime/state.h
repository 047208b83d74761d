#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include <cuda_runtime.h>

#include "tests/cuda_runtime/memory_map.h"
#include "tests/cuda_runtime/process.h"

namespace baltoro::cuda_stand_in {

struct Stream {
    enum class Capture : std::uint8_t { none, active, invalidated };

    Stream(int card_idx, const simt::EmulatedStreamOptions& options)
        : card(card_idx), emulated(options) {}

    int card;
    simt::EmulatedStream emulated;
    Capture capture = Capture::none;
    cudaStreamCaptureMode capture_mode = cudaStreamCaptureModeGlobal;
    std::thread::id capture_thread;
};

struct Event {
    int card;
    std::shared_ptr<std::atomic<bool>> is_reached;  // null: never recorded
    bool is_captured = false;
};

using Entries = std::vector<simt::EmulatedStream::Entry>;

struct Executable {
    std::shared_ptr<const Entries> entries;
    std::shared_ptr<std::atomic<int>> n_under_way;
};

// Guarded by `mutex`, but for the memory and the faults, which guard themselves.
struct State {
    std::uint64_t number = 0;  // of the process
    Machine machine;
    Faults faults;
    MemoryMap memory;
    mutable std::mutex mutex;
    cudaError_t failure = cudaSuccess;  // of a kernel; it stays
    std::map<int, bool> has_context;    // by card
    std::map<cudaStream_t, std::unique_ptr<Stream>> streams;
    std::map<cudaEvent_t, std::unique_ptr<Event>> events;
    std::map<cudaGraph_t, std::unique_ptr<Entries>> graphs;
    std::map<cudaGraphExec_t, std::unique_ptr<Executable>> executables;
    std::vector<std::string> misuses;

    // Null where there is none.
    Stream* stream(cudaStream_t handle) const;
    Event* event(cudaEvent_t handle) const;
    bool is_idle(int card) const;
    void complain(const std::string& misuse) { misuses.push_back(misuse); }
};

// Null without a Process.
State* current_state();

// Brings a countdown of Faults to its end.
bool strikes(std::atomic<int>& countdown);

// What the runtime keeps for each thread.
struct ThreadState {
    std::uint64_t process = 0;  // that the rest is of
    int card = 0;
    cudaError_t last_error = cudaSuccess;
};
ThreadState& thread_state();

}  // namespace baltoro::cuda_stand_in
