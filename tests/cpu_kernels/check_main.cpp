#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include <cstring>

#include "tests/cpu_kernels/bench.h"

// One binary is test and benchmark: `cpu_check` runs the cases, `cpu_check --bench` measures.
int main(int argc, char** argv) {
    for (int i = 1; i < argc; ++i)
        if (std::strcmp(argv[i], "--bench") == 0 || std::strcmp(argv[i], "--help") == 0)
            return baltoro::kernels::run_bench(argc, argv);
    doctest::Context context(argc, argv);
    return context.run();
}
