// That accesses are watched at all: where compiler and emulator do not work together every other
// check of gpu_check_races passes.

#include <string>

#include "base/error.h"
#include "tests/gpu_check/check_device.h"
#include "tests/gpu_check/watched_kernel.h"

namespace baltoro::gpu_check {
namespace {

TEST_CASE("a barrier that is missing is found, whatever the values are") {
    const CheckDevice& device = check_devices().front();
    for (const bool stores_16_bytes : {false, true}) {
        CAPTURE(stores_16_bytes);
        const DeviceArray<std::uint32_t> dst(device, 64);
        launch_exchange(device.stream(), {dst.data(), true, stores_16_bytes});
        CHECK(dst.download()[5] == 58);
        launch_exchange(device.stream(), {dst.data(), false, stores_16_bytes});
        CHECK_THROWS_WITH_AS(device.platform->wait(),
                             doctest::Contains("no barrier stands between the"), Error);
    }
}

}  // namespace
}  // namespace baltoro::gpu_check
