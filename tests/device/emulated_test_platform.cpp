#include "tests/device/test_platform.h"

namespace baltoro::testing {

std::unique_ptr<device::GpuPlatform> make_test_platform(const device::EmulationOptions& options) {
    return device::make_emulated_platform(options);
}

}  // namespace baltoro::testing
