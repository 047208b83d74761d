#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace baltoro::numa {

// What an arena's touched pages turned out to be.
struct ArenaPages {
    std::uint64_t huge_bytes = 0;  // in 2 MB pages
    double on_node_share = 1;      // of a sample of pages; 1 where the kernel does not tell
};

// Memory for weights on one NUMA node, in 2 MB pages where the kernel grants them. The node is
// preferred rather than enforced: a full node makes the weights slower, not the process killed.
// Pages become resident, zeroed, when first written. Owned by the creator; any thread may use it.
class Arena {
  public:
    // node_os_index is Node::os_index. Throws Error if the address space does not suffice.
    Arena(std::size_t size_bytes, int node_os_index);
    ~Arena();
    Arena(Arena&& other) noexcept;
    Arena& operator=(Arena&&) = delete;
    Arena(const Arena&) = delete;
    Arena& operator=(const Arena&) = delete;

    std::byte* data() const noexcept { return data_; }  // aligned to 2 MB
    std::size_t size_bytes() const noexcept { return size_bytes_; }

    // Asks the kernel; meant for after the pages are written.
    ArenaPages pages() const;

    // One line for each thing wished for and not granted, saying what to do; empty if all is well.
    std::vector<std::string> fallbacks() const;

  private:
    std::byte* data_ = nullptr;
    std::size_t size_bytes_ = 0;
    std::size_t mapped_bytes_ = 0;
    void* mapping_ = nullptr;
    int node_os_index_ = 0;
    int bind_error_ = 0;  // errno of the failed preference, or 0
};

}  // namespace baltoro::numa
