#include "base/random.h"

#include <cmath>

#include <doctest/doctest.h>

using baltoro::Random;

TEST_CASE("a random stream can be entered at any index") {
    Random from_start(7);
    Random sought(7);
    for (int i = 0; i < 10; i++)
        from_start.next();
    sought.seek(10);
    CHECK(sought.next() == from_start.next());
    CHECK(Random(7).next() != Random(8).next());
}

TEST_CASE("random values have the moments they claim") {
    Random random(1);
    constexpr int kCount = 100000;
    double sum = 0.0;
    double square_sum = 0.0;
    for (int i = 0; i < kCount; i++) {
        const double value = random.normal();
        sum += value;
        square_sum += value * value;
    }
    // Five standard errors of a mean and of a variance.
    CHECK(std::abs(sum / kCount) < 5.0 / std::sqrt(kCount));
    CHECK(std::abs(square_sum / kCount - 1.0) < 5.0 * std::sqrt(2.0 / kCount));
    for (int i = 0; i < 1000; i++)
        CHECK(random.below(3) < 3);
}
