#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <exception>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "gpu_kernels/simt/emulator.h"
#include "gpu_kernels/simt/fiber.h"
#include "gpu_kernels/simt/shared_accesses.h"

namespace baltoro::simt {

constexpr int kWarpLanes = 32;
constexpr int kMaxBlockLanes = 1024;
constexpr std::size_t kExchangeBytes = 64;

// What a lane of a block is doing.
enum class LaneState : std::uint8_t { runnable, at_warp_op, at_barrier, finished };

struct AsyncCopy {
    void* dst;
    const void* src;
    bool is_valid;
};

struct BlockLane {
    Lane lane;
    LaneState state = LaneState::finished;
    WarpOp op = WarpOp::none;
    std::uint32_t mask = 0;
    alignas(16) std::byte given[kExchangeBytes];  // by the lane, to its meeting
    alignas(16) std::byte shown[kExchangeBytes];  // to the others, once they have met
    std::vector<AsyncCopy> copies;                // issued, oldest first
    std::vector<std::size_t> groups;              // how many of them each open group holds
    std::size_t n_ungrouped = 0;                  // issued since the last commit
    std::unique_ptr<Fiber> fiber;
};

// Runs the threads of one block in passes: each pass resumes every runnable lane whose warp has its
// turn until it meets others or finishes; then the meetings that are complete are resolved. So a
// lane has read what a meeting gave it before the next one can change it. When nothing can go on,
// the block is divergent. Used by Emulator alone.
class Block {
  public:
    explicit Block(const EmulatorOptions& options);

    void run(const Shape& shape,
             Extent block_idx,
             std::size_t shared_bytes,
             const std::function<void()>& body);

    // By the running lane:
    void meet_block();
    const void* meet_warp(WarpOp op, std::uint32_t mask, const void* given, std::size_t n_bytes);
    void* shared_memory(std::size_t size_bytes);
    void note_access(const void* at, std::size_t n_bytes, bool is_write);
    BlockLane& running() noexcept { return *running_; }
    const BlockLane& lane_of_warp(int lane) const noexcept;

  private:
    struct Free {
        void operator()(std::byte* memory) const noexcept { std::free(memory); }
    };

    static void lane_main(void* lane);
    void prepare(const Shape& shape, Extent block_idx, std::size_t shared_bytes);
    bool run_pass();
    bool has_turn(int lane_idx, bool drawn_has_turn) const noexcept;
    bool drawn_warp_has_turn() const noexcept;
    bool is_any_runnable() const noexcept;
    bool resolve();
    bool resolve_warp(int first_lane);
    void release_warp_op(int first_lane, std::uint32_t mask);
    void multiply_fragments(int first_lane);
    [[noreturn]] void report_divergence();
    void abandon();
    std::uint64_t next_random() noexcept;

    EmulatorOptions options_;
    std::uint64_t random_;
    std::vector<std::unique_ptr<BlockLane>> lanes_;  // grows to the largest block
    int n_lanes_ = 0;                                // of this block
    std::vector<int> order_;
    int drawn_warp_ = 0;  // that is ahead or behind
    BlockLane* running_ = nullptr;
    const std::function<void()>* body_ = nullptr;
    std::exception_ptr error_;
    std::unique_ptr<std::byte, Free> shared_;
    std::size_t shared_bytes_ = 0;
    SharedAccesses accesses_;
};

}  // namespace baltoro::simt
