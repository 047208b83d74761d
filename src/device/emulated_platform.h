#pragma once

#include <cstdint>
#include <memory>

#include "device/gpu_platform.h"

namespace baltoro::device {

struct EmulationOptions {
    // A worker thread executes the stream, as a GPU would; otherwise each call does.
    bool is_asynchronous = true;
    int max_delay_us = 0;            // before each entry of the stream: random, up to this
    std::size_t most_queued = 1024;  // entries of the stream; who queues more waits, as with CUDA
    std::uint64_t seed = 1;
    enum class Lanes : std::uint8_t { forward, reversed, shuffled } lanes = Lanes::forward;
    // One warp of each block as far ahead of the others as barriers let it, or as far behind.
    enum class Warps : std::uint8_t { in_step, one_ahead, one_behind } warps = Warps::in_step;
    // See simt::EmulatorOptions; of use where the kernels are compiled for it, as for
    // gpu_check_races.
    bool finds_races = false;
    std::size_t memory_bytes = std::size_t{16} << 30;  // of the device that is emulated
};

// The GPU kernels run by the emulator on the host. It says nothing about a GPU's speed.
std::unique_ptr<GpuPlatform> make_emulated_platform(const EmulationOptions& options = {});

}  // namespace baltoro::device
