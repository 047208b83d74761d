#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "device/device.h"
#include "engine/block_allocator.h"

namespace baltoro {

// What a complete page holds: 64 tokens after the page before it. Pages of the same tokens differ
// if their rows were computed by different arithmetic.
struct PageContent {
    std::int32_t parent = kNoPage;         // the cached page before; kNoPage: a sequence's first
    std::span<const std::int32_t> tokens;  // kPageTokens of them
    int n_prefill_rows = 0;  // the first ones, by steps of kind prefill; the others by decode
};

// A hash of a page and, through its parent's hash, of all tokens before it.
using PageHash = std::uint64_t (*)(std::uint64_t parent_hash, const PageContent& content);
std::uint64_t hash_page(std::uint64_t parent_hash, const PageContent& content) noexcept;

// The hash before a sequence's first page.
inline constexpr std::uint64_t kRootHash = 0x6a09e667f3bcc908ull;

// Finds pages by what they hold, and decides which ones are given up when memory is needed. Cached
// pages form trees; whoever holds a page holds the pages before it too. Pages that only the cache
// holds wait in two lists, least recently used first: those that a second sequence has used, and
// the others, which are given up first (a segmented LRU: Karedla, Love and Wherry 1994). So any
// number of requests that come once leave a prefix alone that comes again and again. The first list
// has room for three quarters of the pages; what it pushes out waits with the others once more.
// Since a sequence lets go of its last page first, and whoever uses a page uses its parent too, a
// page comes before its parent in a list, and a parent in the second list has no child in the
// first: the page that is given up never has children. Tokens are compared on every hit, so equal
// hashes cost time and nothing else. Allocates at construction only. Engine thread only.
class PrefixCache {
  public:
    // The allocator must outlive the cache; all its pages are handed out by this cache.
    explicit PrefixCache(BlockAllocator& allocator, PageHash hash = hash_page);

    // A page to be written: a free one, or else a cached one. kNoPage if every page is in use.
    std::int32_t allocate() noexcept;

    // The page with this content, held for the caller; kNoPage if there is none. Precondition: the
    // caller holds the parent.
    std::int32_t find(const PageContent& content) noexcept;

    // Lets later sequences find `page`, which the caller holds and has written. Returns the page
    // that the caller holds from now on: an equal one, if there was one already. Precondition: the
    // caller holds the parent, too.
    std::int32_t add(std::int32_t page, const PageContent& content) noexcept;

    // The caller does not need the page any more. A sequence's pages are released last one first.
    void release(std::int32_t page) noexcept;

    // The hashes of cached pages that somebody holds; with room for all pages nothing is allocated.
    void list_held(std::vector<std::uint64_t>& hashes) const;
    // Another one whenever list_held() may give something else; never 0.
    std::uint64_t version() const noexcept { return version_; }

    int n_cached() const noexcept { return used_once_.n + used_again_.n; }  // that nobody uses
    int n_available() const noexcept { return allocator_.n_free() + n_cached(); }
    int n_used() const noexcept { return allocator_.n_pages() - n_available(); }

  private:
    struct Node {
        std::uint64_t hash = 0;
        std::int32_t parent = kNoPage;
        int n_prefill_rows = 0;
        int n_children = 0;
        bool is_cached = false;
        bool is_used_again = false;  // by another sequence than the one that computed it
        std::int32_t next_in_bucket = kNoPage;
        std::int32_t older = kNoPage;  // in a list of pages that only the cache holds
        std::int32_t newer = kNoPage;
    };
    struct WaitingList {
        std::int32_t oldest = kNoPage;
        std::int32_t newest = kNoPage;
        int n = 0;
    };

    Node& node(std::int32_t page) noexcept { return nodes_[static_cast<std::size_t>(page)]; }
    std::span<std::int32_t> tokens_of(std::int32_t page) noexcept;
    std::uint64_t hash_of(const PageContent& content) noexcept;
    std::int32_t& bucket_of(std::uint64_t hash) noexcept;
    std::int32_t look_up(std::uint64_t hash, const PageContent& content) noexcept;
    void hold(std::int32_t page) noexcept;
    WaitingList& list_of(const Node& waiting) noexcept {
        return waiting.is_used_again ? used_again_ : used_once_;
    }
    void append_waiting(std::int32_t page) noexcept;
    void remove_waiting(std::int32_t page) noexcept;
    void forget(std::int32_t page) noexcept;

    BlockAllocator& allocator_;
    PageHash hash_;
    std::vector<Node> nodes_;            // by page
    std::vector<std::int32_t> tokens_;   // [n_pages, kPageTokens]
    std::vector<std::int32_t> buckets_;  // first page of each; a power of two
    std::uint64_t version_ = 1;
    WaitingList used_once_;
    WaitingList used_again_;
};

}  // namespace baltoro
