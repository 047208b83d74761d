#pragma once

namespace baltoro::kernels {

// Measures the kernels of one level at K2's dimensions; returns the exit status. Throws Error for
// options that make no sense and for a file that cannot be written.
int run_bench(int argc, char** argv);

}  // namespace baltoro::kernels
