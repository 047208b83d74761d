#include "engine/prefix_cache.h"

#include <iterator>
#include <list>
#include <vector>

#include <doctest/doctest.h>

#include "base/random.h"

using namespace baltoro;

namespace {

constexpr int kTokens = device::kPageTokens;

std::vector<std::int32_t> page_tokens(int first) {
    std::vector<std::int32_t> tokens;
    for (int i = 0; i < kTokens; i++)
        tokens.push_back(first * 1000 + i);
    return tokens;
}

// A sequence whose page i holds page_tokens(firsts[i]).
struct Chain {
    PrefixCache& cache;
    std::vector<std::int32_t> pages{};

    void compute(const std::vector<int>& firsts) {
        for (const int first : firsts) {
            const std::int32_t page = cache.allocate();
            REQUIRE(page != kNoPage);
            pages.push_back(cache.add(page, {last(), page_tokens(first), kTokens}));
        }
    }
    // How many pages are found.
    int find(const std::vector<int>& firsts) {
        for (const int first : firsts) {
            const std::int32_t page = cache.find({last(), page_tokens(first), kTokens});
            if (page == kNoPage) break;
            pages.push_back(page);
        }
        return static_cast<int>(pages.size());
    }
    void release() {
        for (; !pages.empty(); pages.pop_back())
            cache.release(pages.back());
    }
    std::int32_t last() const { return pages.empty() ? kNoPage : pages.back(); }
};

int n_found(PrefixCache& cache, const std::vector<int>& firsts) {
    Chain chain{cache};
    const int n = chain.find(firsts);
    chain.release();
    return n;
}

}  // namespace

TEST_CASE("a finished sequence's pages are found page by page") {
    BlockAllocator allocator(4);
    PrefixCache cache(allocator);
    Chain first{cache};
    first.compute({1, 2, 3});
    const std::vector<std::int32_t> pages = first.pages;
    CHECK(cache.n_used() == 3);
    first.release();
    CHECK(cache.n_cached() == 3);
    CHECK(cache.n_used() == 0);

    Chain second{cache};
    CHECK(second.find({1, 2, 9}) == 2);
    CHECK(second.pages == std::vector<std::int32_t>(pages.begin(), pages.begin() + 2));
    CHECK(cache.n_used() == 2);
    second.release();
    CHECK(n_found(cache, {2, 3}) == 0);  // the same tokens elsewhere in a prompt are others
}

TEST_CASE("pages are given up least recently used first, last pages before their parents") {
    BlockAllocator allocator(4);
    PrefixCache cache(allocator);
    Chain first{cache};
    first.compute({1, 2});
    first.release();
    Chain second{cache};
    second.compute({5, 6});
    second.release();
    CHECK(n_found(cache, {1, 2}) == 2);  // now the older one was used last

    Chain third{cache};
    third.compute({8});
    CHECK(n_found(cache, {5, 6}) == 1);
    CHECK(n_found(cache, {1, 2}) == 2);
    third.compute({9, 10});
    CHECK(n_found(cache, {5}) == 0);
    CHECK(n_found(cache, {1, 2}) == 1);
}

TEST_CASE("pages in use are never given up") {
    BlockAllocator allocator(3);
    PrefixCache cache(allocator);
    Chain running{cache};
    running.compute({1, 2});
    Chain other{cache};
    other.compute({7});
    CHECK(cache.allocate() == kNoPage);
    other.release();
    other.compute({8});
    CHECK(cache.allocate() == kNoPage);
    running.release();
    CHECK(n_found(cache, {1, 2}) == 2);
    CHECK(n_found(cache, {7}) == 0);
}

TEST_CASE("small requests take free pages and older small ones before a long prefix in use") {
    BlockAllocator allocator(10);
    PrefixCache cache(allocator);
    Chain main{cache};
    main.compute({1, 2, 3, 4, 5, 6});
    main.release();
    for (int i = 0; i < 4; i++) {
        Chain small{cache};
        small.compute({100 + i});
        small.release();
    }
    CHECK(n_found(cache, {1, 2, 3, 4, 5, 6}) == 6);
    for (int i = 0; i < 4; i++) {
        Chain small{cache};
        small.compute({200 + i});
        small.release();
    }
    CHECK(n_found(cache, {1, 2, 3, 4, 5, 6}) == 6);
}

TEST_CASE("requests that come once leave a prefix alone that came again") {
    BlockAllocator allocator(12);
    PrefixCache cache(allocator);
    Chain main{cache};
    main.compute({1, 2, 3, 4, 5, 6});
    main.release();
    CHECK(n_found(cache, {1, 2, 3, 4, 5}) == 5);  // a second turn; the first one's end is not used
    for (int i = 0; i < 50; i++) {
        Chain once{cache};
        once.compute({100 + i, 200 + i, 300 + i});
        once.release();
    }
    CHECK(n_found(cache, {149, 249, 349}) == 3);
    CHECK(n_found(cache, {1, 2, 3, 4, 5, 6}) == 5);
}

TEST_CASE("running sequences get the pages of prefixes that came again, last pages first") {
    BlockAllocator allocator(4);
    PrefixCache cache(allocator);
    Chain main{cache};
    main.compute({1, 2, 3});
    main.release();
    CHECK(n_found(cache, {1, 2, 3}) == 3);
    Chain running{cache};
    running.compute({7, 8, 9});
    CHECK(cache.n_cached() == 1);
    CHECK(cache.allocate() != kNoPage);
    CHECK(cache.allocate() == kNoPage);
}

TEST_CASE("prefixes that came again keep three quarters of the pages, the latest of them") {
    BlockAllocator allocator(8);
    PrefixCache cache(allocator);
    for (const int first : {10, 20, 30, 40}) {
        Chain chain{cache};
        chain.compute({first, first + 1});
        chain.release();
        CHECK(n_found(cache, {first, first + 1}) == 2);
    }
    CHECK(cache.n_cached() == 8);
    // The oldest two pages have lost their place: they are given up before the others, but a third
    // use would have saved them.
    Chain once{cache};
    once.compute({90, 91});
    once.release();
    CHECK(n_found(cache, {10}) == 0);
    CHECK(n_found(cache, {20, 21}) == 2);
    CHECK(n_found(cache, {90, 91}) == 2);  // the second use of these pushes {30, 31} out
    Chain other{cache};
    other.compute({92});
    CHECK(n_found(cache, {30, 31}) == 1);
    CHECK(n_found(cache, {40, 41}) == 2);
}

TEST_CASE("in a random run no page is given up before the pages that follow it") {
    for (std::uint64_t seed = 1; seed <= 20; seed++) {
        CAPTURE(seed);
        Random random(seed);
        BlockAllocator allocator(4 + static_cast<int>(random.below(12)));
        PrefixCache cache(allocator);
        std::list<Chain> running;
        for (int i = 0; i < 2000; i++) {
            if (running.size() > 3 || (!running.empty() && random.below(3) == 0)) {
                const auto ended = std::next(
                    running.begin(), static_cast<std::ptrdiff_t>(random.below(running.size())));
                ended->release();
                running.erase(ended);
                continue;
            }
            // Few first tokens, so that prefixes are shared; forget() checks for children.
            std::vector<int> firsts;
            for (std::uint64_t n = 1 + random.below(5); n > 0; n--)
                firsts.push_back(static_cast<int>(random.below(3)));
            Chain chain{cache};
            const int n = chain.find(firsts);
            firsts.erase(firsts.begin(), firsts.begin() + n);
            if (static_cast<int>(firsts.size()) <= cache.n_available()) chain.compute(firsts);
            running.push_back(chain);
        }
        for (Chain& chain : running)
            chain.release();
        CHECK(cache.n_used() == 0);
    }
}

TEST_CASE("two sequences that compute the same page end up sharing one") {
    BlockAllocator allocator(4);
    PrefixCache cache(allocator);
    Chain first{cache};
    Chain second{cache};
    first.compute({1});
    second.compute({1, 2});
    CHECK(first.pages[0] == second.pages[0]);
    CHECK(cache.n_used() == 2);
    second.release();
    CHECK(cache.n_used() == 1);
    CHECK(first.find({2}) == 2);
    first.release();
    CHECK(cache.n_used() == 0);
}

TEST_CASE("pages of equal hashes are told apart by their tokens, parents and arithmetic") {
    BlockAllocator allocator(8);
    PrefixCache cache(allocator,
                      [](std::uint64_t, const PageContent&) -> std::uint64_t { return 7; });
    Chain first{cache};
    first.compute({1, 2});
    Chain second{cache};
    second.compute({3, 2});
    CHECK(first.pages[1] != second.pages[1]);
    CHECK(cache.find({first.pages[1], page_tokens(2), kTokens}) == kNoPage);
    CHECK(cache.find({first.pages[0], page_tokens(2), 10}) == kNoPage);
    second.release();
    first.release();
    CHECK(n_found(cache, {1, 2}) == 2);
    CHECK(n_found(cache, {3, 2}) == 2);
    CHECK(n_found(cache, {2}) == 0);
    // Giving up pages finds each of them in the one bucket.
    Chain all{cache};
    all.compute({11, 12, 13, 14, 15, 16, 17, 18});
    CHECK(cache.n_cached() == 0);
    all.release();
    CHECK(n_found(cache, {1}) == 0);
    CHECK(n_found(cache, {11, 12, 13, 14, 15, 16, 17, 18}) == 8);
}

TEST_CASE("the hash of a page depends on the pages before it") {
    const std::vector<std::int32_t> tokens = page_tokens(1);
    const std::uint64_t hash = hash_page(1, {kNoPage, tokens, kTokens});
    CHECK(hash != hash_page(2, {kNoPage, tokens, kTokens}));
    CHECK(hash != hash_page(1, {kNoPage, tokens, 3}));
    CHECK(hash != hash_page(1, {kNoPage, page_tokens(2), kTokens}));
    CHECK(hash == hash_page(1, {kNoPage, page_tokens(1), kTokens}));
}
