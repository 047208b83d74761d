#pragma once

namespace baltoro::kernels {

// Measures the kernels of one level at K2's dimensions; returns the exit status.
int run_bench(int argc, char** argv);

}  // namespace baltoro::kernels
