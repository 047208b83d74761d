#include "device/emulated_platform.h"
#include "tests/gpu_check/check_device.h"
#include "tests/gpu_check/random_values.h"
#include "tests/gpu_check/sides.h"

namespace baltoro::gpu_check {
namespace {

using Lanes = device::EmulationOptions::Lanes;
using Warps = device::EmulationOptions::Warps;

void add_emulated(const char* name, Lanes lanes, Warps warps, bool finds_races = false) {
    device::EmulationOptions options;
    options.is_asynchronous = false;
    options.lanes = lanes;
    options.warps = warps;
    options.finds_races = finds_races;
    options.seed = check_seed();
    check_devices().push_back(
        {name, device::make_emulated_platform(options), &emulated_simt_kernels()});
}

}  // namespace

void add_emulated_devices() {
    add_emulated("emulated, lanes forward, one warp ahead", Lanes::forward, Warps::one_ahead);
    add_emulated("emulated, lanes reversed, one warp behind", Lanes::reversed, Warps::one_behind);
    add_emulated("emulated, lanes shuffled", Lanes::shuffled, Warps::in_step);
}

void add_watched_device() {
    add_emulated("emulated, all accesses to shared memory watched", Lanes::forward, Warps::in_step,
                 true);
}

}  // namespace baltoro::gpu_check
