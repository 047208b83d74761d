#include "weights/parallel.h"

#include <atomic>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "base/error.h"

using namespace baltoro;

TEST_CASE("every index is worked on once, whatever the number of threads") {
    for (const int n_threads : {-1, 0, 1, 2, 7, 100}) {
        CAPTURE(n_threads);
        std::vector<std::atomic<int>> visits(50);
        for_each_index(visits.size(), n_threads, [&](std::size_t i) { ++visits[i]; });
        for (const std::atomic<int>& n : visits)
            CHECK(n == 1);
    }
    for_each_index(0, 3, [](std::size_t) { FAIL("there is no index"); });
}

TEST_CASE("a failure stops the rest and is thrown on the caller's thread") {
    for (const int n_threads : {1, 4}) {
        CAPTURE(n_threads);
        std::atomic<int> n_started = 0;
        const auto work = [&](std::size_t i) {
            ++n_started;
            if (i >= 3) throw Error("index " + std::to_string(i));
        };
        CHECK_THROWS_WITH_AS(for_each_index(1000, n_threads, work), doctest::Contains("index "),
                             Error);
        CHECK(n_started <= 3 + n_threads);
    }
}
