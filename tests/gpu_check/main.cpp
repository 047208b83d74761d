// Checks every GPU kernel against its contract, on the emulator or on a CUDA device.
//   gpu_check [--device emulated|cuda] [--seed N] [doctest's options]

#include <cstdio>
#include <cstdlib>
#include <string>

#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include "device/emulated_platform.h"
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

namespace {

void add_emulated(const char* name, device::EmulationOptions::Lanes lanes) {
    device::EmulationOptions options;
    options.is_asynchronous = false;
    options.lanes = lanes;
    options.seed = check_seed();
    check_devices().push_back({name, device::make_emulated_platform(options)});
}

}  // namespace
}  // namespace baltoro::gpu_check

int main(int argc, char** argv) {
    using namespace baltoro::gpu_check;
    std::string device = "emulated";
    for (int i = 1; i + 1 < argc; i++) {
        if (std::string(argv[i]) == "--device") device = argv[i + 1];
        if (std::string(argv[i]) == "--seed")
            check_seed() = std::strtoull(argv[i + 1], nullptr, 10);
    }
    if (device != "emulated") {
        std::fprintf(stderr, "gpu_check: no device \"%s\"\n", device.c_str());
        return 2;
    }
    using Lanes = baltoro::device::EmulationOptions::Lanes;
    add_emulated("emulated, lanes forward", Lanes::forward);
    add_emulated("emulated, lanes reversed", Lanes::reversed);
    add_emulated("emulated, lanes shuffled", Lanes::shuffled);
    doctest::Context context(argc, argv);
    const int result = context.run();
    check_devices().clear();
    return result;
}
