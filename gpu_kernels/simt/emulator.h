#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>

#include "gpu_kernels/simt/types.h"

namespace baltoro::simt {

// What a kernel did wrong: a divergent barrier, a misaligned access, a warp that fell apart. The
// text names block, threads and operations.
class KernelError : public std::logic_error {
  public:
    using std::logic_error::logic_error;
};

// In which order the lanes of a block run between two points where they meet.
enum class LaneOrder { forward, reversed, shuffled };

// How the warps of a block get on: in step from one meeting to the next, or with one of them, drawn
// anew for every block, as far ahead of the others as barriers let it, or as far behind.
enum class WarpPace { in_step, one_ahead, one_behind };

struct EmulatorOptions {
    LaneOrder order = LaneOrder::forward;
    std::uint64_t seed = 1;  // of the shuffled order and of the warp that is drawn
    WarpPace pace = WarpPace::in_step;
    // Whether a block ends with an error where no barrier stands between two accesses to shared
    // memory: those of watched_memory.cpp and of the wrappers.
    bool finds_races = false;
};

// Where the lanes of a warp meet.
enum class WarpOp : std::uint8_t { none, sync, shuffle, ballot, mma, ldmatrix };

class Block;

// The thread of a block that runs now; kernels see it as threadIdx and so on.
struct Lane {
    Extent thread_idx;
    Extent block_idx;
    Extent block_dim;
    Extent grid_dim;
    int linear_idx = 0;
    Block* block = nullptr;
};

// Null outside a kernel. One per OS thread, since fibers stay on theirs.
extern constinit thread_local Lane* current_lane;

// Runs grids block by block, every thread of a block as a fiber. One OS thread at a time; owns the
// fibers, which are reused.
class Emulator {
  public:
    explicit Emulator(const EmulatorOptions& options = {});
    ~Emulator();
    Emulator(const Emulator&) = delete;
    Emulator& operator=(const Emulator&) = delete;

    // Runs body once per thread of the grid. Throws KernelError. Blocks have at most 1,024 threads.
    void run(const Shape& shape, std::size_t shared_bytes, const std::function<void()>& body);

  private:
    EmulatorOptions options_;
    std::unique_ptr<Block> block_;
};

// The rest is for simt_emulated.h.

int lane_idx() noexcept;  // within the warp

// Waits for all threads of the block.
void meet_block();
// Waits for the lanes of `mask`, each of which gives n_bytes (at most 64) that the others can read.
void meet_warp(WarpOp op, std::uint32_t mask, const void* given, std::size_t n_bytes);
// What a lane of the warp gave to the last meeting; valid until the caller meets again.
const void* shown_by(int lane) noexcept;
// The running thread, if there is one, reads or writes memory: of interest if it is shared memory.
void note_access(const void* at, std::size_t n_bytes, bool is_write);
// The block's shared memory; fails unless the launch asked for that many bytes.
void* shared_memory(std::size_t size_bytes);
[[noreturn]] void fail(const std::string& what);
void require_aligned(const void* address, std::size_t alignment, const char* what);

}  // namespace baltoro::simt
