// Where cuBLASLt was not found: the rate of bf16 products is that of our own kernel, which is the
// lower measure.

#include <fmt/format.h>

#include "tests/gpu_check/bench/bench_run.h"

namespace baltoro::gpu_check {

void bench_matrix_rate(BenchRun& run) {
    if (run.kernels().panel_product == nullptr)
        return run.report().skip("bf16 rate: built without cuBLASLt, and panel_product is null");
    constexpr int kSize = 8192;
    constexpr std::size_t kElements = std::size_t{kSize} * kSize;
    const BenchMemory w = run.random_bf16(kElements);
    const BenchMemory x = run.random_bf16(kElements);
    const BenchMemory dst = run.zeros(kElements * sizeof(float));
    const Spread time = run.time_calls(1, [&](int /*i*/) {
        run.kernels().panel_product(run.stream(), {w.as<bf16_t>(), x.as<bf16_t>(), kSize, kSize,
                                                   kSize, dst.as<float>(), nullptr, false});
    });
    const double rate = 2.0 * kElements * kSize / (time.median_us * 1e-6);
    run.report().matrix_flops = rate;
    run.report().matrix_source = "panel_product: built without cuBLASLt";
    run.report().add({"bf16 product 8192^3 (our kernel: no cuBLASLt)",
                      time,
                      fmt::format("{:.1f} TFLOPS", rate * 1e-12),
                      {},
                      {},
                      {}});
}

}  // namespace baltoro::gpu_check
