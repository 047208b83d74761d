#include "device/cuda_diagnosis.h"

#include <fmt/format.h>

namespace baltoro::device {
namespace {

double gigabytes(std::size_t size_bytes) {
    return static_cast<double>(size_bytes) * 1e-9;
}

std::string version(int number) {
    return fmt::format("{}.{}", number / 1000, number % 1000 / 10);
}

// The number at the start of "90,100", which becomes "100".
int take_arch(std::string_view& archs) {
    int arch = 0;
    std::size_t i = 0;
    for (; i < archs.size() && archs[i] != ','; i++)
        if (archs[i] >= '0' && archs[i] <= '9') arch = arch * 10 + (archs[i] - '0');
    archs.remove_prefix(i < archs.size() ? i + 1 : i);
    return arch;
}

}  // namespace

bool is_compiled_for(std::string_view archs, int capability) {
    int arch = 0;
    while (!archs.empty()) {
        arch = take_arch(archs);
        if (arch / 10 == capability / 10 && arch <= capability) return true;
    }
    return arch != 0 && arch <= capability;
}

std::string not_compiled_line(std::string_view gpu, int capability, std::string_view archs) {
    return fmt::format(
        "{} has compute capability {}.{}, but the kernels were compiled for {}: build with "
        "-Dgpu_archs={}",
        gpu, capability / 10, capability % 10, archs, capability);
}

std::string driver_line(int driver, int runtime) {
    if (driver == 0) return "no NVIDIA driver was found (libcuda.so.1)";
    return fmt::format(
        "the NVIDIA driver is too old: it knows CUDA {}, this program needs {}; update the driver",
        version(driver), version(runtime));
}

std::string index_line(int gpu_idx, int n_gpus) {
    if (n_gpus == 1) return fmt::format("there is no GPU {}: the only one is 0", gpu_idx);
    return fmt::format("there is no GPU {}: they are 0 to {}", gpu_idx, n_gpus - 1);
}

std::string memory_line(std::string_view gpu, const MemoryShortage& shortage) {
    const double free = gigabytes(shortage.free_bytes);
    const double own = gigabytes(shortage.own_bytes);
    const double total = gigabytes(shortage.total_bytes);
    const std::string wanted =
        fmt::format("{}: cannot have {:.2f} GB of memory", gpu, gigabytes(shortage.wanted_bytes));
    if (shortage.limit_bytes < shortage.total_bytes &&
        shortage.own_bytes + shortage.wanted_bytes > shortage.limit_bytes)
        return fmt::format("{}: of the {:.2f} GB allowed, {:.2f} are taken; raise the limit",
                           wanted, gigabytes(shortage.limit_bytes), own);
    const std::size_t known = shortage.free_bytes + shortage.own_bytes;
    const double others =
        shortage.total_bytes > known ? gigabytes(shortage.total_bytes - known) : 0.0;
    return fmt::format(
        "{}: {:.2f} GB of {:.2f} are free, {:.2f} are this program's, {:.2f} belong to other "
        "processes and the driver (see nvidia-smi)",
        wanted, free, total, own, others);
}

std::string no_context_line(std::string_view gpu, std::size_t total_bytes) {
    return fmt::format(
        "{}: no memory is left to start with; other processes hold its {:.2f} GB (see nvidia-smi)",
        gpu, gigabytes(total_bytes));
}

}  // namespace baltoro::device
