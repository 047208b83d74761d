#pragma once

#include <cstdint>
#include <vector>

namespace baltoro {

// No page: none is free, or a prefix begins here.
constexpr std::int32_t kNoPage = -1;

// Counts the holders of every page of the KV cache. Whoever holds a page may read it; a page that
// nobody holds is free. Allocates at construction only. Engine thread only.
class BlockAllocator {
  public:
    explicit BlockAllocator(int n_pages);

    // A free page, held once; kNoPage if there is none.
    std::int32_t allocate() noexcept;

    // One holder more. Precondition: the page is held.
    void retain(std::int32_t page) noexcept;

    // One holder less; the last one frees the page.
    void release(std::int32_t page) noexcept;

    int n_holders(std::int32_t page) const noexcept;
    int n_pages() const noexcept { return static_cast<int>(n_holders_.size()); }
    int n_free() const noexcept { return static_cast<int>(free_.size()); }

  private:
    std::vector<int> n_holders_;
    std::vector<std::int32_t> free_;  // the next one last
};

}  // namespace baltoro
