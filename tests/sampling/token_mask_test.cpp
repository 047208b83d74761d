#include "sampling/token_mask.h"

#include <vector>

#include <doctest/doctest.h>

using namespace baltoro;

TEST_CASE("a new mask allows nothing") {
    const TokenMask mask(130);
    CHECK(mask.vocab_size() == 130);
    CHECK(mask.words().size() == 3);
    CHECK(mask.n_allowed() == 0);
    CHECK_FALSE(mask.allows(129));
}

TEST_CASE("a mask of all allows no token past the vocabulary") {
    TokenMask ragged(130);
    ragged.allow_all();
    CHECK(ragged.n_allowed() == 130);
    CHECK(ragged.words()[2] == 3);
    TokenMask even(128);
    even.allow_all();
    CHECK(even.n_allowed() == 128);
}

TEST_CASE("tokens are allowed and banned one by one") {
    TokenMask mask(130);
    mask.allow(0);
    mask.allow(63);
    mask.allow(64);
    mask.allow(129);
    CHECK(mask.words()[0] == (1ull | 1ull << 63));
    CHECK(mask.allows(129));
    mask.ban(std::vector<std::int32_t>{63, 100, 129});
    CHECK(mask.n_allowed() == 2);
    CHECK_FALSE(mask.allows(129));
    mask.allow_none();
    CHECK(mask.n_allowed() == 0);
}
