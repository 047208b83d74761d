#pragma once

#include "cpu_kernels/isa.h"
#include "tests/cpu_kernels/bench_pool.h"

namespace baltoro::kernels {

// TFLOPS of the level's multiply instruction (AMX tiles, VDPBF16PS or FMA) on registers alone.
double peak_tflops(IsaLevel level, int n_threads, Clock clock);

}  // namespace baltoro::kernels
