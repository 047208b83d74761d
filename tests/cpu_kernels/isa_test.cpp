#include "cpu_kernels/isa.h"

#include <doctest/doctest.h>

#include <algorithm>

namespace baltoro::kernels {
namespace {

TEST_CASE("the fastest level is the highest, but for Intel's slow bf16 multiplications") {
    CHECK(fastest_isa(IsaLevel::avx512_bf16, "GenuineIntel") == IsaLevel::avx512);
    CHECK(fastest_isa(IsaLevel::avx512_bf16, "AuthenticAMD") == IsaLevel::avx512_bf16);
    for (const IsaLevel level : {IsaLevel::scalar, IsaLevel::avx2, IsaLevel::avx512, IsaLevel::amx})
        CHECK(fastest_isa(level, "GenuineIntel") == level);
}

TEST_CASE("this machine runs every level up to its highest, and its best") {
    const auto levels = available_isas();
    CHECK(levels.front() == IsaLevel::scalar);
    CHECK(levels.back() == highest_isa());
    CHECK(std::is_sorted(levels.begin(), levels.end()));
    CHECK(std::count(levels.begin(), levels.end(), best_isa()) == 1);
}

}  // namespace
}  // namespace baltoro::kernels
