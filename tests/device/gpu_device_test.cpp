// The GPU's sequences of kernels against the CPU device, on an emulated GPU whose entries are
// delayed at random, so that a missing dependency shows.

#include "device/gpu_device.h"

#include <cmath>
#include <cstring>
#include <vector>

#include <doctest/doctest.h>

#include "base/error.h"
#include "device/cpu_device.h"
#include "tests/device/random_values.h"
#include "tests/device/test_platform.h"

using namespace baltoro;
using namespace baltoro::device;
using baltoro::testing::make_test_platform;
using baltoro::testing::random_bf16;
using baltoro::testing::random_f32;

namespace {

// Relative L2 distance.
double distance(const std::vector<double>& a, const std::vector<double>& b) {
    REQUIRE(a.size() == b.size());
    double difference = 0.0;
    double norm = 0.0;
    for (std::size_t i = 0; i < a.size(); i++) {
        difference += (a[i] - b[i]) * (a[i] - b[i]);
        norm += a[i] * a[i];
    }
    return std::sqrt(difference / norm);
}

EmulationOptions delayed() {
    EmulationOptions options;
    options.max_delay_us = 50;
    options.lanes = EmulationOptions::Lanes::shuffled;
    return options;
}

// A device under test with its own copies of the inputs.
class Bench {
  public:
    explicit Bench(Device& device) : device_(device) {}

    template <typename T>
    T* upload(const std::vector<T>& values) {
        const std::size_t size = values.size() * sizeof(T);
        buffers_.push_back(device_.allocate(size, MemoryKind::device));
        device_.copy_from_host(buffers_.back().as<T>(), values.data(), size);
        return buffers_.back().as<T>();
    }

    Matrix place(const std::vector<bf16_t>& values, int n, int k) {
        const auto* data = reinterpret_cast<const std::byte*>(values.data());
        return device_.place({DType::bf16, {n, k}, data, values.size() * sizeof(bf16_t)}, nullptr,
                             WeightUse::product);
    }

    Matrix place_fp8(const std::vector<e4m3_t>& codes,
                     const std::vector<float>& scales,
                     int n,
                     int k) {
        const TensorView scale{DType::f32,
                               {(n + 127) / 128, (k + 127) / 128},
                               reinterpret_cast<const std::byte*>(scales.data()),
                               scales.size() * sizeof(float)};
        return device_.place({DType::f8_e4m3,
                              {n, k},
                              reinterpret_cast<const std::byte*>(codes.data()),
                              codes.size()},
                             &scale, WeightUse::product);
    }

    std::vector<double> f32(const float* src, std::size_t n) {
        std::vector<float> values(n);
        device_.finish();
        device_.copy_to_host(values.data(), src, n * sizeof(float));
        return {values.begin(), values.end()};
    }

    std::vector<double> bf16(const bf16_t* src, std::size_t n) {
        std::vector<bf16_t> values(n);
        device_.finish();
        device_.copy_to_host(values.data(), src, n * sizeof(bf16_t));
        std::vector<double> out;
        for (const bf16_t value : values)
            out.push_back(static_cast<double>(float_from_bf16(value)));
        return out;
    }

  private:
    Device& device_;
    std::vector<Buffer> buffers_;
};

// Runs `compute(bench, device)` on both devices and returns how far apart the results are.
template <typename Compute>
double gpu_from_cpu(StepKind kind, const Compute& compute) {
    numa::Team team(std::vector<numa::WorkerPlace>(1), 0);
    CpuDevice cpu(team, kernels::IsaLevel::scalar);
    GpuDevice gpu(make_test_platform(delayed()));
    std::vector<double> results[2];
    Device* const devices[2] = {&cpu, &gpu};
    for (int d = 0; d < 2; d++) {
        Bench bench(*devices[d]);
        devices[d]->begin_step(kind);
        results[d] = compute(bench, *devices[d]);
    }
    return distance(results[0], results[1]);
}

constexpr StepKind kKinds[] = {StepKind::prefill, StepKind::decode};

}  // namespace

TEST_CASE("embedding looks rows up in a table that stays with the host") {
    constexpr int kHidden = 48;
    const std::vector<bf16_t> table = random_bf16(9 * kHidden, 1);
    const std::vector<std::int32_t> ids = {8, 0, 8, 3};
    CHECK(gpu_from_cpu(StepKind::decode, [&](Bench& bench, Device& device) {
              const Matrix matrix = device.place({DType::bf16,
                                                  {9, kHidden},
                                                  reinterpret_cast<const std::byte*>(table.data()),
                                                  table.size() * sizeof(bf16_t)},
                                                 nullptr, WeightUse::lookup);
              float* dst = bench.upload(std::vector<float>(4 * kHidden));
              device.embed({matrix, ids, dst});
              return bench.f32(dst, 4 * kHidden);
          }) == 0.0);
}

TEST_CASE("products and the gated block agree with the CPU's for few and many rows") {
    constexpr int kHidden = 160;
    constexpr int kInner = 144;
    const std::vector<bf16_t> gate = random_bf16(kInner * kHidden, 1, 0.2);
    const std::vector<bf16_t> up = random_bf16(kInner * kHidden, 2, 0.2);
    std::vector<e4m3_t> down;
    for (const float value : random_f32(kHidden * kInner, 3, 0.2))
        down.push_back(e4m3_from_float(value));
    const std::vector<float> scales = {0.5f, 2.0f, 1.5f, 0.25f};
    for (const StepKind kind : kKinds) {
        for (const int n_rows : {1, 5, 40, 70}) {
            CAPTURE(n_rows);
            const auto rows = static_cast<std::size_t>(n_rows);
            const std::vector<bf16_t> x = random_bf16(rows * kHidden, 4);
            const std::vector<float> before = random_f32(rows * kHidden, 5);
            const double apart = gpu_from_cpu(kind, [&](Bench& bench, Device& device) {
                const Matrix w_down = bench.place_fp8(down, scales, kHidden, kInner);
                const bf16_t* input = bench.upload(x);
                float* dst = bench.upload(before);
                device.gated_ffn({bench.place(gate, kInner, kHidden),
                                  bench.place(up, kInner, kHidden), w_down, input, n_rows, dst});
                float* plain = bench.upload(std::vector<float>(rows * kInner));
                device.product({bench.place(gate, kInner, kHidden), input, n_rows, plain, false});
                device.add(plain, dst, rows * kInner);
                return bench.f32(dst, rows * kHidden);
            });
            // The hidden row is rounded to bf16 on both sides, at times to different neighbours.
            CHECK(apart < 2e-3);
        }
    }
}

TEST_CASE("the router's choice lies in shared memory when the host's work begins") {
    constexpr int kHidden = 64;
    constexpr int kExperts = 24;
    const std::vector<bf16_t> w = random_bf16(kExperts * kHidden, 1);
    const std::vector<float> bias = random_f32(kExperts, 2, 0.1);
    const std::vector<float> x = random_f32(3 * kHidden, 3);
    struct Seen {
        const std::int32_t* ids;
        std::vector<double> values;
    };
    CHECK(gpu_from_cpu(StepKind::decode, [&](Bench& bench, Device& device) {
              const Buffer ids = device.allocate(3 * 4 * sizeof(std::int32_t), MemoryKind::shared);
              const Buffer gains = device.allocate(3 * 4 * sizeof(float), MemoryKind::shared);
              device.route({bench.place(w, kExperts, kHidden), bench.upload(bias), 4, 6, 3, true,
                            2.5f, bench.upload(x), 3, ids.as<std::int32_t>(), gains.as<float>()});
              Seen seen{ids.as<std::int32_t>(), {}};
              const int number =
                  device.begin_host_work({[](void* context) {
                                              Seen& dst = *static_cast<Seen*>(context);
                                              dst.values.assign(dst.ids, dst.ids + 12);
                                          },
                                          &seen});
              device.end_host_work(number);
              device.finish();
              return seen.values;
          }) == 0.0);
}

TEST_CASE("attention agrees with the CPU's over pages in any order, alone and in a batch") {
    struct Model {
        MlaShapes shapes;
        bool is_fp8;
    };
    const Model models[] = {{{4, 96, 48, 32, 40}, true}, {{3, 64, 32, 16, 32}, false}};
    for (const Model& model : models) {
        for (const StepKind kind : kKinds) {
            const MlaShapes& shapes = model.shapes;
            CAPTURE(shapes.kv_lora_rank);
            CAPTURE(static_cast<int>(kind));
            const std::vector<std::int32_t> first_table = {7, 2, 5, 11};
            const std::vector<std::int32_t> second_table = {1, 9, 0, 3};
            // A long sequence in the middle of its prompt, and one row of another.
            const std::vector<SequenceRows> sequences = {{0, 50, 130, first_table},
                                                         {50, 1, 70, second_table}};
            constexpr std::size_t kRows = 51;
            const auto heads = static_cast<std::size_t>(shapes.n_heads);
            const auto rank = static_cast<std::size_t>(shapes.kv_lora_rank);
            const int n_weight_rows =
                shapes.n_heads * (shapes.qk_nope_head_dim + shapes.v_head_dim);
            const std::size_t n_weights = static_cast<std::size_t>(n_weight_rows) * rank;
            const std::vector<bf16_t> weights = random_bf16(n_weights, 1, 0.2);
            std::vector<e4m3_t> codes;
            for (const float value : random_f32(n_weights, 2, 0.3))
                codes.push_back(e4m3_from_float(value));
            const std::vector<float> scales =
                random_f32(static_cast<std::size_t>((n_weight_rows + 127) / 128), 3);
            const std::size_t latent = static_cast<std::size_t>(shapes.latent_dim());
            const std::vector<bf16_t> pages = random_bf16(12 * kPageTokens * latent, 4);
            const std::vector<bf16_t> gain = random_bf16(rank, 5);
            const std::vector<float> kv = random_f32(kRows * latent, 6);
            const std::vector<float> q =
                random_f32(kRows * heads * static_cast<std::size_t>(shapes.qk_head_dim()), 7, 0.5);
            std::vector<float> rope;
            for (std::size_t i = 0;
                 i < kRows * static_cast<std::size_t>(shapes.qk_rope_head_dim / 2); i++) {
                rope.push_back(static_cast<float>(std::cos(static_cast<double>(i) * 0.3)));
                rope.push_back(static_cast<float>(std::sin(static_cast<double>(i) * 0.3)));
            }
            const std::size_t n_out = kRows * heads * static_cast<std::size_t>(shapes.v_head_dim);
            const double apart = gpu_from_cpu(kind, [&](Bench& bench, Device& device) {
                const Matrix kv_b =
                    model.is_fp8
                        ? bench.place_fp8(codes, scales, n_weight_rows, shapes.kv_lora_rank)
                        : bench.place(weights, n_weight_rows, shapes.kv_lora_rank);
                bf16_t* cache = bench.upload(pages);
                const float* angles = bench.upload(rope);
                bf16_t* dst = bench.upload(std::vector<bf16_t>(n_out));
                device.write_latent(
                    {shapes, sequences, bench.upload(kv), bench.upload(gain), 1e-6, angles, cache});
                device.attend({shapes, sequences, bench.upload(q), kv_b, angles, 0.2f, cache, dst});
                return bench.bf16(dst, n_out);
            });
            // Queries, probabilities and results are rounded to bf16 in different places.
            CHECK(apart < 1e-2);
        }
    }
}

TEST_CASE("a step is given up with its host work, whether that has ended or not") {
    GpuDevice device(make_test_platform(delayed()));
    for (const StepKind kind : kKinds) {
        device.begin_step(kind);
        const int first = device.begin_host_work({[](void*) { FAIL("given up"); }, nullptr});
        if (kind == StepKind::decode) device.end_host_work(first);
        device.give_up_step();
        device.begin_step(kind);
        bool has_run = false;
        const int number = device.begin_host_work(
            {[](void* context) { *static_cast<bool*>(context) = true; }, &has_run});
        device.end_host_work(number);
        device.finish();
        CHECK(has_run);
    }
}

TEST_CASE("an error of the host's work comes out of finish, and the device can be used again") {
    GpuDevice device(make_test_platform(delayed()));
    const int number = device.begin_host_work(
        {[](void*) { throw Error("an expert id is out of range"); }, nullptr});
    device.end_host_work(number);
    CHECK_THROWS_WITH_AS(device.finish(), "an expert id is out of range", Error);
    Bench bench(device);
    float* x = bench.upload(std::vector<float>{1.0f, 2.0f});
    device.add(x, x, 2);
    CHECK(bench.f32(x, 2) == std::vector<double>{2.0, 4.0});
}
