#include "app/open_files.h"

#include <doctest/doctest.h>
#include <sys/resource.h>

using namespace baltoro;

TEST_CASE("the limit of open files is raised to the hard one") {
    rlimit before{};
    REQUIRE(::getrlimit(RLIMIT_NOFILE, &before) == 0);
    const rlimit low{64, before.rlim_max};
    REQUIRE(::setrlimit(RLIMIT_NOFILE, &low) == 0);
    CHECK(raise_open_file_limit() == before.rlim_max);
    rlimit after{};
    REQUIRE(::getrlimit(RLIMIT_NOFILE, &after) == 0);
    CHECK(after.rlim_cur == before.rlim_max);
    REQUIRE(::setrlimit(RLIMIT_NOFILE, &before) == 0);
}

TEST_CASE("connections leave files for everything else") {
    CHECK(connections_within(20'000, 1024) == 1024);
    CHECK(connections_within(1280, 1024) == 1024);
    CHECK(connections_within(1279, 1024) == 1023);
    CHECK(connections_within(1024, 1024) == 768);
    CHECK(connections_within(200, 1024) == 100);
    CHECK(connections_within(1, 1024) == 1);
}
