#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include <cstdio>
#include <cstring>

#include "base/error.h"
#include "tests/cpu_kernels/bench.h"

namespace {

// 2 for what the user can change, as of a command that was used wrongly.
int bench(int argc, char** argv) {
    try {
        return baltoro::kernels::run_bench(argc, argv);
    } catch (const baltoro::Error& error) {
        std::fprintf(stderr, "cpu_check: %s\n", error.what());
        return 2;
    }
}

}  // namespace

// One binary is test and benchmark: `cpu_check` runs the cases, `cpu_check --bench` measures.
int main(int argc, char** argv) {
    for (int i = 1; i < argc; ++i)
        if (std::strcmp(argv[i], "--bench") == 0 || std::strcmp(argv[i], "--help") == 0)
            return bench(argc, argv);
    doctest::Context context(argc, argv);
    return context.run();
}
