#include "engine/block_allocator.h"

#include <set>

#include <doctest/doctest.h>

using namespace baltoro;

TEST_CASE("pages are handed out once until none is free") {
    BlockAllocator pages(3);
    const std::set<std::int32_t> handed_out = {pages.allocate(), pages.allocate(),
                                               pages.allocate()};
    CHECK(handed_out == std::set<std::int32_t>{0, 1, 2});
    CHECK(pages.n_free() == 0);
    CHECK(pages.allocate() == kNoPage);
}

TEST_CASE("a page is free again when its last holder lets go") {
    BlockAllocator pages(1);
    const std::int32_t page = pages.allocate();
    pages.retain(page);
    CHECK(pages.n_holders(page) == 2);
    pages.release(page);
    CHECK(pages.n_free() == 0);
    pages.release(page);
    CHECK(pages.n_free() == 1);
    CHECK(pages.n_holders(page) == 0);
    CHECK(pages.allocate() == page);
}
