#include "base/result.h"

#include <string>

#include <doctest/doctest.h>

using baltoro::Failure;
using baltoro::Result;

TEST_CASE("a result is a value or a message") {
    const Result<int> good(3);
    const Result<int> bad(Failure{"no"});
    CHECK(good.has_value());
    CHECK(*good == 3);
    CHECK_FALSE(static_cast<bool>(bad));
    CHECK(bad.error() == "no");
    CHECK(Result<std::string>(std::string("x")).value() == "x");
}
