// The products of a chunk of prefill, by the kernel and as the platform prefers to make them.

#include <fmt/format.h>

#include "tests/gpu_check/bench/bench_run.h"

namespace baltoro::gpu_check {
namespace {

constexpr int kRows = 512;  // a chunk of prefill

struct Panel {
    const char* name;
    int n;
    int k;
};
const Panel kPanels[] = {{"q_b  [12288, 1536]", 12288, 1536},
                         {"o  [7168, 8192]", 7168, 8192},
                         {"shared gate  [2048, 7168]", 2048, 7168}};

void add_line(BenchRun& run, const Panel& panel, const char* way, const Spread& time) {
    const double rate = 2.0 * kRows * panel.n * panel.k / (time.median_us * 1e-6);
    run.report().add({fmt::format("bf16, {} rows, {}: {}", kRows, way, panel.name),
                      time,
                      fmt::format("{:.1f} TFLOPS", rate * 1e-12),
                      rate / run.report().matrix_flops,
                      {},
                      {}});
}

}  // namespace

void bench_panels(BenchRun& run) {
    for (const Panel& panel : kPanels) {
        const auto n = static_cast<std::size_t>(panel.n);
        const auto k = static_cast<std::size_t>(panel.k);
        const BenchMemory w = run.random_bf16(n * k);
        const BenchMemory x = run.random_bf16(kRows * k);
        const BenchMemory dst = run.zeros(kRows * n * sizeof(float));
        const gpu::PanelProduct product{w.as<bf16_t>(), x.as<bf16_t>(),  panel.n, panel.k,
                                        kRows,          dst.as<float>(), nullptr, false};
        add_line(run, panel, "kernel", run.time_calls(4, [&](int /*i*/) {
            run.kernels().panel_product(run.stream(), product);
        }));
        if (!run.platform().is_prepared(panel.n, panel.k))
            run.platform().prepare(product.w, panel.n, panel.k);
        add_line(run, panel, "cuBLASLt if linked",
                 run.time_calls(4, [&](int /*i*/) { run.platform().panel_product(product); }));
    }
}

}  // namespace baltoro::gpu_check
