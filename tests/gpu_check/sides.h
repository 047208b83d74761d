#pragma once

#include <string>

// The two sides that gpu_check may be built with; each is left out where it cannot be built.

namespace baltoro::gpu_check {

// Adds to check_devices() the emulator: with its lanes forward and one warp ahead of the others,
// reversed and one behind, and shuffled. Throws Error where it was left out.
void add_emulated_devices();

// Adds the emulator as it finds accesses to shared memory that no barrier orders, in a program
// whose kernels are compiled for it. Throws Error where it was left out.
void add_watched_device();

// Adds a CUDA device. Throws Error if it cannot be used.
void add_cuda_device(int gpu_idx);

struct BenchOptions {
    int gpu_idx = 0;
    std::string json_path;  // written if not empty
};

// Measures the kernels on a GPU at Kimi-K2's dimensions and prints a table. Throws Error.
void run_bench(const BenchOptions& options);

}  // namespace baltoro::gpu_check
