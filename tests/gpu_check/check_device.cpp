#include "tests/gpu_check/check_device.h"

#include "tests/gpu_check/random_values.h"

namespace baltoro::gpu_check {

std::vector<CheckDevice>& check_devices() {
    static std::vector<CheckDevice> devices;
    return devices;
}

std::uint64_t& check_seed() {
    static std::uint64_t seed = 1;
    return seed;
}

}  // namespace baltoro::gpu_check
