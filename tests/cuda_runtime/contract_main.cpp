// The contract of GpuPlatform, as tests/gpu_check has it for every GPU, on CUDA's platform with a
// stand-in for the runtime: two cards, so that calls for the wrong one show.

#include <cstdio>
#include <string>

#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include "device/cuda_platform.h"
#include "tests/cuda_runtime/process.h"
#include "tests/gpu_check/check_device.h"

namespace {

using baltoro::gpu_check::check_devices;

void add_gpu(int gpu_idx) {
    auto platform = baltoro::device::make_cuda_platform({gpu_idx});
    const std::string name = "GPU " + std::to_string(gpu_idx) + ": " + platform->describe();
    check_devices().push_back({name, std::move(platform), nullptr});
}

}  // namespace

int main(int argc, char** argv) {
    baltoro::cuda_stand_in::Process process;
    process.machine().cards.resize(2);
    process.machine().streams.max_delay_us = 20;
    add_gpu(0);
    add_gpu(1);
    const int result = doctest::Context(argc, argv).run();
    check_devices().clear();
    const std::string complaints = process.complaints();
    if (!complaints.empty()) std::printf("ERROR: %s\n", complaints.c_str());
    return complaints.empty() ? result : 1;
}
