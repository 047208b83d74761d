// What the plan sets aside for a graph against the graph of a model.

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "app/gpu_memory.h"
#include "device/gpu_device.h"
#include "tests/app/counting_platform.h"
#include "tests/model/loaded_model.h"

using namespace baltoro;
using namespace baltoro::testing;

TEST_CASE("the memory set aside for a graph is that of its launches, and not much more") {
    const std::string tiny = std::string(BALTORO_GOLDEN_DIR) + "/oracle/k2-tiny";
    for (const int n_gpu_experts : {0, 5}) {
        CAPTURE(n_gpu_experts);
        int n_recorded = 0;
        const DeviceMaker make = [&] {
            return std::make_unique<device::GpuDevice>(
                std::make_unique<CountingPlatform>(n_recorded));
        };
        LoadedModel loaded(tiny, kernels::best_isa(), 2, 8, make, 0, n_gpu_experts);
        const std::vector<std::int32_t> pages = {0};
        const std::int32_t row = 0;
        for (int position = 0; position < 3; position++) {
            const std::int32_t token = 7;
            const device::SequenceRows rows{0, 1, position, pages};
            (void)loaded.model.forward({{&token, 1}, {&rows, 1}, {&row, 1}, StepKind::decode});
        }
        const int n_planned = static_cast<int>(gpu_graph_bytes(loaded.config) >> 16);
        CHECK(n_planned == 3 * 24);
        CHECK(n_recorded <= n_planned);
        CHECK(n_recorded > n_planned / 2);
        MESSAGE(n_recorded, " launches");
    }
}
