#pragma once

#include <cstddef>
#include <string>
#include <string_view>

// What is wrong with a machine's GPU, each as one line that says what to do. Kept apart from the
// CUDA runtime, so that the lines are checked where there is none. Any thread.

namespace baltoro::device {

// Whether kernels compiled for `archs` ("80,86,90": machine code for each, PTX for the last) run on
// a card of compute capability `capability` (86 for 8.6). Machine code runs on cards of the same
// major number and an equal or higher minor one, PTX on any card not older.
bool is_compiled_for(std::string_view archs, int capability);

std::string not_compiled_line(std::string_view gpu, int capability, std::string_view archs);

// Versions as CUDA counts them: 13000 is 13.0; `driver` is 0 where there is none.
std::string driver_line(int driver, int runtime);

std::string index_line(int gpu_idx, int n_gpus);

// Device memory that cannot be had. `own` is what this process has taken already.
struct MemoryShortage {
    std::size_t wanted_bytes;
    std::size_t free_bytes;
    std::size_t total_bytes;
    std::size_t own_bytes;
    std::size_t limit_bytes;  // that the user has set, or the total
};
std::string memory_line(std::string_view gpu, const MemoryShortage& shortage);

// Not even the first allocation succeeds.
std::string no_context_line(std::string_view gpu, std::size_t total_bytes);

}  // namespace baltoro::device
