#include "engine/prefix_cache.h"

#include <algorithm>
#include <bit>

#include "base/check.h"

namespace baltoro {
namespace {

using device::kPageTokens;

// The rest is for prefixes that may yet come again.
int most_used_again(int n_pages) noexcept {
    return n_pages * 3 / 4;
}

}  // namespace

std::uint64_t hash_page(std::uint64_t parent_hash, const PageContent& content) noexcept {
    std::uint64_t hash = parent_hash + static_cast<std::uint64_t>(content.n_prefill_rows);
    for (const std::int32_t token : content.tokens) {
        hash = (hash ^ static_cast<std::uint32_t>(token)) * 0x9e3779b97f4a7c15ull;
        hash ^= hash >> 29;
    }
    return hash;
}

PrefixCache::PrefixCache(BlockAllocator& allocator, PageHash hash)
    : allocator_(allocator),
      hash_(hash),
      nodes_(static_cast<std::size_t>(allocator.n_pages())),
      tokens_(nodes_.size() * kPageTokens),
      buckets_(std::bit_ceil(nodes_.size() * 2), kNoPage) {}

std::int32_t PrefixCache::allocate() noexcept {
    if (allocator_.n_free() == 0 && n_cached() > 0) {
        const std::int32_t page = used_once_.n > 0 ? used_once_.oldest : used_again_.oldest;
        remove_waiting(page);
        forget(page);
        allocator_.release(page);
    }
    return allocator_.allocate();
}

std::int32_t PrefixCache::find(const PageContent& content) noexcept {
    const std::int32_t page = look_up(hash_of(content), content);
    if (page != kNoPage) hold(page);
    return page;
}

std::int32_t PrefixCache::add(std::int32_t page, const PageContent& content) noexcept {
    check(!node(page).is_cached, "a page is added once");
    const std::uint64_t hash = hash_of(content);
    const std::int32_t equal = look_up(hash, content);
    if (equal != kNoPage) {
        hold(equal);
        allocator_.release(page);
        return equal;
    }
    Node& added = node(page);
    added = {};
    added.hash = hash;
    added.parent = content.parent;
    added.n_prefill_rows = content.n_prefill_rows;
    added.is_cached = true;
    added.next_in_bucket = bucket_of(hash);
    bucket_of(hash) = page;
    std::copy(content.tokens.begin(), content.tokens.end(), tokens_of(page).begin());
    if (content.parent != kNoPage) node(content.parent).n_children++;
    allocator_.retain(page);
    version_++;
    return page;
}

void PrefixCache::list_held(std::vector<std::uint64_t>& hashes) const {
    hashes.clear();
    for (std::size_t i = 0; i < nodes_.size(); i++)
        if (nodes_[i].is_cached && allocator_.n_holders(static_cast<std::int32_t>(i)) > 1)
            hashes.push_back(nodes_[i].hash);
}

void PrefixCache::release(std::int32_t page) noexcept {
    allocator_.release(page);
    if (!node(page).is_cached || allocator_.n_holders(page) > 1) return;
    version_++;
    append_waiting(page);
    if (used_again_.n <= most_used_again(allocator_.n_pages())) return;
    const std::int32_t pushed_out = used_again_.oldest;
    remove_waiting(pushed_out);
    node(pushed_out).is_used_again = false;
    append_waiting(pushed_out);
}

std::span<std::int32_t> PrefixCache::tokens_of(std::int32_t page) noexcept {
    return std::span(tokens_).subspan(static_cast<std::size_t>(page) * kPageTokens, kPageTokens);
}

std::uint64_t PrefixCache::hash_of(const PageContent& content) noexcept {
    check(content.tokens.size() == kPageTokens, "a cached page is complete");
    if (content.parent == kNoPage) return hash_(kRootHash, content);
    check(node(content.parent).is_cached && allocator_.n_holders(content.parent) > 1,
          "the caller holds the cached page before");
    return hash_(node(content.parent).hash, content);
}

std::int32_t& PrefixCache::bucket_of(std::uint64_t hash) noexcept {
    return buckets_[hash & (buckets_.size() - 1)];
}

std::int32_t PrefixCache::look_up(std::uint64_t hash, const PageContent& content) noexcept {
    for (std::int32_t page = bucket_of(hash); page != kNoPage; page = node(page).next_in_bucket) {
        const Node& found = node(page);
        if (found.hash == hash && found.parent == content.parent &&
            found.n_prefill_rows == content.n_prefill_rows &&
            std::equal(content.tokens.begin(), content.tokens.end(), tokens_of(page).begin()))
            return page;
    }
    return kNoPage;
}

void PrefixCache::hold(std::int32_t page) noexcept {
    if (allocator_.n_holders(page) == 1) remove_waiting(page);
    version_++;
    node(page).is_used_again = true;
    allocator_.retain(page);
}

void PrefixCache::append_waiting(std::int32_t page) noexcept {
    WaitingList& list = list_of(node(page));
    node(page).older = list.newest;
    node(page).newer = kNoPage;
    (list.newest == kNoPage ? list.oldest : node(list.newest).newer) = page;
    list.newest = page;
    list.n++;
}

void PrefixCache::remove_waiting(std::int32_t page) noexcept {
    const Node& removed = node(page);
    WaitingList& list = list_of(removed);
    (removed.older == kNoPage ? list.oldest : node(removed.older).newer) = removed.newer;
    (removed.newer == kNoPage ? list.newest : node(removed.newer).older) = removed.older;
    list.n--;
}

void PrefixCache::forget(std::int32_t page) noexcept {
    Node& forgotten = node(page);
    check(forgotten.n_children == 0, "a page is given up after the pages that follow it");
    std::int32_t* link = &bucket_of(forgotten.hash);
    while (*link != page)
        link = &node(*link).next_in_bucket;
    *link = forgotten.next_in_bucket;
    if (forgotten.parent != kNoPage) node(forgotten.parent).n_children--;
    forgotten.is_cached = false;
}

}  // namespace baltoro
