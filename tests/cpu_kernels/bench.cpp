#include "tests/cpu_kernels/bench.h"
namespace baltoro::kernels {
int run_bench(int, char**) {
    return 1;
}
}  // namespace baltoro::kernels
