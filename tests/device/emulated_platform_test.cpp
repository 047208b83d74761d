#include "device/emulated_platform.h"

#include <doctest/doctest.h>

#include "base/error.h"

namespace baltoro::device {
namespace {

TEST_CASE("the emulated platform bounds its memory and says so with the numbers") {
    EmulationOptions options;
    options.memory_bytes = 1'000'000'000;
    const auto platform = make_emulated_platform(options);
    void* data = platform->allocate(600'000'000, MemoryKind::device);
    CHECK_THROWS_WITH_AS(platform->allocate(600'000'000, MemoryKind::device),
                         "cannot have 0.60 GB of GPU memory: 0.40 GB are free", Error);
    platform->release(data, 600'000'000, MemoryKind::device);
    CHECK(platform->free_bytes() == 1'000'000'000);
}

}  // namespace
}  // namespace baltoro::device
