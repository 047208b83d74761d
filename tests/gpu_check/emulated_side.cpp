#include "device/emulated_platform.h"
#include "tests/gpu_check/check_device.h"
#include "tests/gpu_check/random_values.h"
#include "tests/gpu_check/sides.h"

namespace baltoro::gpu_check {
namespace {

void add_emulated(const char* name, device::EmulationOptions::Lanes lanes) {
    device::EmulationOptions options;
    options.is_asynchronous = false;
    options.lanes = lanes;
    options.seed = check_seed();
    check_devices().push_back(
        {name, device::make_emulated_platform(options), &emulated_simt_kernels()});
}

}  // namespace

void add_emulated_devices() {
    using Lanes = device::EmulationOptions::Lanes;
    add_emulated("emulated, lanes forward", Lanes::forward);
    add_emulated("emulated, lanes reversed", Lanes::reversed);
    add_emulated("emulated, lanes shuffled", Lanes::shuffled);
}

}  // namespace baltoro::gpu_check
