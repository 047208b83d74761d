#include "engine/block_allocator.h"

#include "base/check.h"

namespace baltoro {

BlockAllocator::BlockAllocator(int n_pages) : n_holders_(static_cast<std::size_t>(n_pages)) {
    check(n_pages > 0, "a KV cache has pages");
    free_.reserve(n_holders_.size());
    for (int page = n_pages - 1; page >= 0; page--)
        free_.push_back(page);
}

std::int32_t BlockAllocator::allocate() noexcept {
    if (free_.empty()) return kNoPage;
    const std::int32_t page = free_.back();
    free_.pop_back();
    n_holders_[static_cast<std::size_t>(page)] = 1;
    return page;
}

void BlockAllocator::retain(std::int32_t page) noexcept {
    check(n_holders(page) > 0, "a page that gets another holder is held");
    n_holders_[static_cast<std::size_t>(page)]++;
}

void BlockAllocator::release(std::int32_t page) noexcept {
    check(n_holders(page) > 0, "a released page is held");
    if (--n_holders_[static_cast<std::size_t>(page)] == 0) free_.push_back(page);
}

int BlockAllocator::n_holders(std::int32_t page) const noexcept {
    check(page >= 0 && page < n_pages(), "a page is one of the cache");
    return n_holders_[static_cast<std::size_t>(page)];
}

}  // namespace baltoro
