// Checks every GPU kernel against its contract, on the emulator or on a CUDA device, or measures
// them on the latter.
//   gpu_check [--device emulated|watched|cuda] [--gpu N] [--seed N] [doctest's options]
//   gpu_check --bench [--gpu N] [--json FILE]
// Without a CUDA device both say "skipped: no CUDA device" and exit with 77.

#include <cstdio>
#include <cstdlib>
#include <string>

#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include "base/error.h"
#include "device/cuda_platform.h"
#include "tests/gpu_check/check_device.h"
#include "tests/gpu_check/random_values.h"
#include "tests/gpu_check/sides.h"

namespace baltoro::gpu_check {

namespace {

constexpr int kSkipped = 77;  // as meson understands it

struct Options {
    std::string device;
    bool measures = false;
    BenchOptions bench;
};

Options parse(int argc, char** argv) {
    Options options;
    for (int i = 1; i < argc; i++) {
        const std::string name = argv[i];
        if (name == "--bench") options.measures = true;
        if (i + 1 == argc) break;
        if (name == "--device") options.device = argv[i + 1];
        if (name == "--gpu") options.bench.gpu_idx = std::atoi(argv[i + 1]);
        if (name == "--json") options.bench.json_path = argv[i + 1];
        if (name == "--seed") check_seed() = std::strtoull(argv[i + 1], nullptr, 10);
    }
    if (options.device.empty()) options.device = options.measures ? "cuda" : "emulated";
    return options;
}

int check_kernels(int argc, char** argv) {
    for (const CheckDevice& device : check_devices())
        std::printf("device: %s\n", device.name.c_str());
    doctest::Context context(argc, argv);
    const int result = context.run();
    check_devices().clear();
    return result;
}

int run(int argc, char** argv) {
    const Options options = parse(argc, argv);
    if (options.device == "emulated") {
        if (options.measures)
            throw Error("the emulator's time says nothing about a GPU's: --bench needs a GPU");
        add_emulated_devices();
        return check_kernels(argc, argv);
    }
    if (options.device == "watched") {
        add_watched_device();
        return check_kernels(argc, argv);
    }
    if (options.device != "cuda") throw Error("no device \"" + options.device + "\"");
    const device::CudaGpus gpus = device::find_cuda_gpus();
    if (gpus.names.empty()) {
        std::printf("skipped: no CUDA device (%s)\n", gpus.why_none.c_str());
        return kSkipped;
    }
    if (options.measures) {
        run_bench(options.bench);
        return 0;
    }
    add_cuda_device(options.bench.gpu_idx);
    return check_kernels(argc, argv);
}

}  // namespace
}  // namespace baltoro::gpu_check

int main(int argc, char** argv) {
    try {
        return baltoro::gpu_check::run(argc, argv);
    } catch (const baltoro::Error& error) {
        std::fprintf(stderr, "gpu_check: %s\n", error.what());
        return 2;
    }
}
