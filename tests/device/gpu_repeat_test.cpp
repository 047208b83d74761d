// Decode steps that are recorded once and repeated, on an emulated GPU: a repeated step has the
// arguments of the recorded one, so whatever changes from step to step must lie in memory.

#include <cstring>
#include <vector>

#include <doctest/doctest.h>

#include "base/error.h"
#include "device/gpu_device.h"
#include "tests/device/random_values.h"
#include "tests/device/test_platform.h"

using namespace baltoro;
using namespace baltoro::device;
using baltoro::testing::make_test_platform;
using baltoro::testing::random_bf16;

namespace {

EmulationOptions delayed(std::uint64_t seed) {
    EmulationOptions options;
    options.max_delay_us = 50;
    options.seed = seed;
    return options;
}

// Steps of one row at some position of a sequence.
class Steps {
  public:
    explicit Steps(GpuDevice& device)
        : device_(device),
          sum_(device.allocate(sizeof(float), MemoryKind::device)),
          given_(device.allocate(sizeof(float), MemoryKind::shared)) {}

    // sum += 2 given, where the host gives `value` after the first half of the step.
    float run(float value, int position = 0) {
        begin(position);
        Given given{given_.as<float>(), value};
        device_.end_host_work(device_.begin_host_work({give, &given}));
        device_.add(given_.as<float>(), sum_.as<float>(), 1);
        device_.add(given_.as<float>(), sum_.as<float>(), 1);
        device_.finish();
        float sum = 0;
        device_.copy_to_host(&sum, sum_.as<float>(), sizeof sum);
        return sum;
    }

    void begin(int position) {
        device_.begin_step(StepKind::decode);
        const SequenceRows row{0, 1, position, pages_};
        constexpr std::int32_t kLogitRow = 0;
        device_.begin_repeatable({{&row, 1}, {&kLogitRow, 1}});
    }

  private:
    struct Given {
        float* dst;
        float value;
    };
    static void give(void* context) {
        const Given& given = *static_cast<Given*>(context);
        *given.dst = given.value;
    }

    GpuDevice& device_;
    Buffer sum_;
    Buffer given_;
    std::vector<std::int32_t> pages_ = std::vector<std::int32_t>(64);
};

}  // namespace

TEST_CASE("a step like one before is repeated, with the host's works of its own") {
    for (std::uint64_t seed = 1; seed <= 4; seed++) {
        CAPTURE(seed);
        GpuDevice device(make_test_platform(delayed(seed)));
        Steps steps(device);
        float expected = 0;
        for (int i = 1; i <= 10; i++) {
            expected += 2 * static_cast<float>(i);
            CHECK(steps.run(static_cast<float>(i)) == expected);
        }
        CHECK(device.graph_counts().recorded == 1);
        CHECK(device.graph_counts().repeated == 8);
    }
}

TEST_CASE("a context of another length makes another graph, and the old one is still there") {
    GpuDevice device(make_test_platform(delayed(1)));
    Steps steps(device);
    for (const int position : {100, 127, 128, 200, 255, 126, 0})
        (void)steps.run(1, position);
    CHECK(device.graph_counts().recorded == 2);
    CHECK(device.graph_counts().repeated == 3);
}

TEST_CASE("with no graphs to keep, every step is launched") {
    GpuDevice device(make_test_platform(delayed(1)), 0);
    Steps steps(device);
    for (int i = 1; i <= 4; i++)
        CHECK(steps.run(1) == 2.0f * static_cast<float>(i));
    CHECK(device.graph_counts().recorded == 0);
    CHECK(device.graph_counts().repeated == 0);
}

TEST_CASE("graphs go when scratch memory that they use grows") {
    constexpr int kSize = 64;
    GpuDevice device(make_test_platform(delayed(1)));
    const std::vector<bf16_t> weights = random_bf16(kSize * kSize, 1, 0.3);
    const Matrix w = device.place({DType::bf16,
                                   {kSize, kSize},
                                   reinterpret_cast<const std::byte*>(weights.data()),
                                   weights.size() * sizeof(bf16_t)},
                                  nullptr, WeightUse::product);
    const Buffer x = device.allocate(64 * kSize * sizeof(bf16_t), MemoryKind::device);
    const std::vector<bf16_t> rows = random_bf16(64 * kSize, 2);
    device.copy_from_host(x.as<bf16_t>(), rows.data(), rows.size() * sizeof(bf16_t));
    const Buffer dst = device.allocate(64 * kSize * sizeof(float), MemoryKind::device);
    const std::vector<std::int32_t> pages = {0, 1};
    const auto step = [&](int n_rows) {
        const std::vector<float> zeros(64 * kSize);
        device.begin_step(StepKind::decode);
        device.copy_from_host(dst.as<float>(), zeros.data(), zeros.size() * sizeof(float));
        const SequenceRows sequence{0, n_rows, 0, pages};
        const std::int32_t last = n_rows - 1;
        device.begin_repeatable({{&sequence, 1}, {&last, 1}});
        device.gated_ffn({w, w, w, x.as<bf16_t>(), n_rows, dst.as<float>()});
        device.finish();
        std::vector<float> sums(kSize);
        device.copy_to_host(sums.data(), dst.as<float>(), kSize * sizeof(float));
        return sums;
    };
    const std::vector<float> launched = step(1);
    for (int i = 0; i < 3; i++)
        CHECK(step(1) == launched);
    const int n_recorded = device.graph_counts().recorded;
    CHECK(n_recorded == 1);
    (void)step(60);  // the gated rows of 60 need more memory
    for (int i = 0; i < 3; i++)
        CHECK(step(1) == launched);
    CHECK(device.graph_counts().recorded == n_recorded + 1);
}

TEST_CASE("a step that ends early while it is recorded is forgotten, those behind it are right") {
    for (const bool releases_memory : {false, true}) {
        CAPTURE(releases_memory);
        GpuDevice device(make_test_platform(delayed(3)));
        Steps steps(device);
        CHECK(steps.run(1) == 2.0f);
        Buffer held = device.allocate(64, MemoryKind::shared);
        steps.begin(0);
        const int number = device.begin_host_work({[](void*) { FAIL("given up"); }, nullptr});
        device.end_host_work(number);
        if (releases_memory) held = {};
        device.give_up_step();
        for (int i = 2; i <= 5; i++)
            CHECK(steps.run(1) == 2.0f * static_cast<float>(i));
        CHECK(device.graph_counts().recorded == 1);
        CHECK(device.graph_counts().repeated == 3);
    }
}

TEST_CASE("an error of the host's work in a repeated step leaves the graph usable") {
    GpuDevice device(make_test_platform(delayed(2)));
    Steps steps(device);
    for (int i = 1; i <= 3; i++)
        (void)steps.run(0);
    steps.begin(0);
    const int number = device.begin_host_work(
        {[](void*) { throw Error("an expert id is out of range"); }, nullptr});
    device.end_host_work(number);
    CHECK_THROWS_WITH_AS(device.finish(), "an expert id is out of range", Error);
    CHECK(steps.run(3) == 6.0f);
    CHECK(device.graph_counts().repeated == 3);
}
