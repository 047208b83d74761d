#include "base/error.h"
#include "tests/gpu_check/sides.h"

namespace baltoro::gpu_check {

void add_cuda_device(int /*gpu_idx*/) {
    throw Error("compiled without CUDA");
}

void run_bench(const BenchOptions& /*options*/) {
    throw Error("compiled without CUDA");
}

}  // namespace baltoro::gpu_check
