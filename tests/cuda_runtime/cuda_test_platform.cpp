#include "device/cuda_platform.h"
#include "tests/cuda_runtime/process.h"
#include "tests/device/test_platform.h"

namespace baltoro::testing {
namespace {

simt::LaneOrder lane_order(device::EmulationOptions::Lanes lanes) {
    using Lanes = device::EmulationOptions::Lanes;
    if (lanes == Lanes::forward) return simt::LaneOrder::forward;
    return lanes == Lanes::reversed ? simt::LaneOrder::reversed : simt::LaneOrder::shuffled;
}

}  // namespace

std::unique_ptr<device::GpuPlatform> make_test_platform(const device::EmulationOptions& options) {
    cuda_stand_in::current_process().machine().streams = {{lane_order(options.lanes), options.seed},
                                                          true,
                                                          options.max_delay_us,
                                                          2 * options.most_queued};
    return device::make_cuda_platform();
}

}  // namespace baltoro::testing
