#pragma once

#include <atomic>
#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "gpu_kernels/simt/emulated_stream.h"

// A stand-in for the CUDA runtime, for tests on machines without a GPU: the functions that
// src/device calls, with the errors that their documentation names, over emulated streams. Linked
// in place of libcudart_static and of the kernels that nvcc compiles.

namespace baltoro::cuda_stand_in {

struct Card {
    std::string name = "stand-in";
    int capability = 120;  // 12.0; no build names a newer one unless told to
    std::size_t total_bytes = std::size_t{8} << 30;
    std::size_t taken_bytes = 0;  // by other processes
    bool is_held_alone = false;   // by another process, in exclusive mode
    bool has_unified_addressing = true;
};

struct Machine {
    int driver_version = 99000;  // as CUDA counts: 13000 is 13.0; 0: no driver
    std::vector<Card> cards = {Card{}};
    // Every kernel takes two entries of a stream: half of them is what fits, 1,024 as with CUDA.
    simt::EmulatedStreamOptions streams = {{}, true, 0, 2048};
};

// Each counts down at its call; the one that brings it from 1 to 0 fails.
struct Faults {
    std::atomic<int> device_allocation = 0;  // cudaMalloc
    std::atomic<int> host_allocation = 0;    // cudaHostAlloc
    std::atomic<int> event = 0;              // cudaEventCreateWithFlags
    std::atomic<int> clearing = 0;           // cudaMemsetAsync, which meets a kernel's failure
    std::atomic<int> launch = 0;             // of a kernel, refused at once
    std::atomic<int> kernel = 0;             // executed, by itself or in a graph
    std::atomic<int> instantiation = 0;      // cudaGraphInstantiate
    std::atomic<int> graph_launch = 0;       // cudaGraphLaunch
};

struct State;

// What CUDA knows of one process: all calls of the runtime go to the one object of this kind that
// there is. Made by the test; the machine is set before the first call, faults at any time.
class Process {
  public:
    Process();
    ~Process();
    Process(const Process&) = delete;
    Process& operator=(const Process&) = delete;

    Machine& machine();
    Faults& faults();
    // What has not been given back, and each use that CUDA leaves undefined, in one line; empty if
    // there is nothing. All GPU objects are to be gone by then.
    std::string complaints() const;
    // The uses that CUDA leaves undefined, which are forgotten then.
    std::string take_misuses();
    // Memory of the card that this process has taken with cudaMalloc.
    std::size_t used_bytes(int card) const;

  private:
    std::unique_ptr<State> state_;
};

// The one that there is.
Process& current_process();

}  // namespace baltoro::cuda_stand_in
