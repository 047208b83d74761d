#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace baltoro::simt {

// Finds pairs of accesses to a block's shared memory, one of them a write, by two threads between
// which no barrier stands: whatever the order in which the emulator ran them, a GPU may run them in
// the other. Threads of one warp are ordered by __syncwarp too, and by nothing else: shuffles and
// products do not order memory. Atomic accesses are left out. Used by Block alone.
class SharedAccesses {
  public:
    // Forgets everything: a block of so many bytes and threads begins.
    void begin(std::size_t n_bytes, int n_lanes);
    void pass_barrier() noexcept { n_barriers_++; }
    void pass_warp_barrier(int warp) noexcept {
        n_warp_barriers_[static_cast<std::size_t>(warp)]++;
    }

    void add(int lane, std::size_t offset, std::size_t n_bytes, bool is_write);

    // The first pair that was found, in words; empty: none.
    const std::string& found() const noexcept { return found_; }

  private:
    static constexpr int kNobody = -1;
    static constexpr int kSeveral = -2;  // threads, of several warps or of one

    // When an access was made.
    struct Access {
        int lane = kNobody;
        std::uint32_t n_barriers = 0;
        std::uint32_t n_warp_barriers = 0;
    };
    // The last write of two bytes, and their reads since the last barrier before the last of them.
    struct Cell {
        Access write;
        Access read;
    };

    Access now(int lane) const noexcept;
    bool is_ordered(const Access& before, int lane) const noexcept;
    void report(const Access& before, bool was_write, int lane, bool is_write, std::size_t cell);

    std::vector<Cell> cells_;
    std::vector<std::uint32_t> n_warp_barriers_;
    std::uint32_t n_barriers_ = 0;
    std::string found_;
};

}  // namespace baltoro::simt
