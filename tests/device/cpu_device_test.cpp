#include "device/cpu_device.h"

#include <cmath>
#include <cstring>
#include <vector>

#include <doctest/doctest.h>

#include "base/error.h"
#include "tests/device/random_values.h"

using namespace baltoro;
using namespace baltoro::device;
using baltoro::testing::random_bf16;

namespace {

Matrix matrix_of(const std::vector<bf16_t>& values, int n, int k) {
    return {DType::bf16, values.data(), nullptr, n, k, values.size() * sizeof(bf16_t)};
}

double value_at(const std::vector<bf16_t>& values, int row, int column, int k) {
    return static_cast<double>(float_from_bf16(values[static_cast<std::size_t>(row * k + column)]));
}

// f32 sums of k products of bf16: each product is exact, every addition rounds.
double sum_bound(double magnitude, int k) {
    return magnitude * static_cast<double>(k) * 0x1p-23;
}

}  // namespace

TEST_CASE("products are right for few and many rows, overwriting or adding") {
    constexpr int kN = 50;
    constexpr int kK = 70;
    const std::vector<bf16_t> w = random_bf16(kN * kK, 1);
    for (const kernels::IsaLevel isa : kernels::available_isas()) {
        for (const int n_rows : {1, 3, 16, 17, 40}) {
            numa::Team team(std::vector<numa::WorkerPlace>(3));
            CpuDevice device(team, isa);
            const std::vector<bf16_t> x = random_bf16(static_cast<std::size_t>(n_rows * kK), 2);
            std::vector<float> once(static_cast<std::size_t>(n_rows * kN), 77.0f);
            device.product({matrix_of(w, kN, kK), x.data(), n_rows, once.data(), false});
            std::vector<float> added(once.size(), 1.0f);
            device.product({matrix_of(w, kN, kK), x.data(), n_rows, added.data(), true});
            CAPTURE(kernels::isa_name(isa));
            CAPTURE(n_rows);
            int n_wrong = 0;
            for (int r = 0; r < n_rows; r++) {
                for (int i = 0; i < kN; i++) {
                    double expected = 0.0;
                    double magnitude = 0.0;
                    for (int j = 0; j < kK; j++) {
                        expected += value_at(x, r, j, kK) * value_at(w, i, j, kK);
                        magnitude += std::abs(value_at(x, r, j, kK) * value_at(w, i, j, kK));
                    }
                    const auto at = static_cast<std::size_t>(r * kN + i);
                    const double bound = sum_bound(magnitude + 1.0, kK);
                    if (!(std::abs(static_cast<double>(once[at]) - expected) <= bound)) n_wrong++;
                    if (!(std::abs(static_cast<double>(added[at]) - expected - 1.0) <= bound))
                        n_wrong++;
                }
            }
            CHECK(n_wrong == 0);
        }
    }
}

TEST_CASE("the gated block adds down(silu(gate x) up x)") {
    constexpr int kHidden = 40;
    constexpr int kInner = 36;
    const std::vector<bf16_t> gate = random_bf16(kInner * kHidden, 3, 0.2);
    const std::vector<bf16_t> up = random_bf16(kInner * kHidden, 4, 0.2);
    const std::vector<bf16_t> down = random_bf16(kHidden * kInner, 5, 0.2);
    for (const kernels::IsaLevel isa : kernels::available_isas()) {
        for (const int n_rows : {1, 16, 33}) {
            numa::Team team(std::vector<numa::WorkerPlace>(2));
            CpuDevice device(team, isa);
            const std::vector<bf16_t> x =
                random_bf16(static_cast<std::size_t>(n_rows * kHidden), 6);
            std::vector<float> dst(static_cast<std::size_t>(n_rows * kHidden), 0.5f);
            device.gated_ffn({matrix_of(gate, kInner, kHidden), matrix_of(up, kInner, kHidden),
                              matrix_of(down, kHidden, kInner), x.data(), n_rows, dst.data()});
            int n_wrong = 0;
            for (int r = 0; r < n_rows; r++) {
                std::vector<double> inner(kInner);
                for (int i = 0; i < kInner; i++) {
                    double g = 0.0;
                    double u = 0.0;
                    for (int j = 0; j < kHidden; j++) {
                        g += value_at(gate, i, j, kHidden) * value_at(x, r, j, kHidden);
                        u += value_at(up, i, j, kHidden) * value_at(x, r, j, kHidden);
                    }
                    inner[static_cast<std::size_t>(i)] = g / (1.0 + std::exp(-g)) * u;
                }
                for (int i = 0; i < kHidden; i++) {
                    double expected = 0.5;
                    double magnitude = 0.5;
                    for (int j = 0; j < kInner; j++) {
                        const double term =
                            value_at(down, i, j, kInner) * inner[static_cast<std::size_t>(j)];
                        expected += term;
                        magnitude += std::abs(term);
                    }
                    // Each intermediate value is rounded to bf16 once: 2^-9 relative; f32 sums
                    // besides.
                    const double error = std::abs(
                        static_cast<double>(dst[static_cast<std::size_t>(r * kHidden + i)]) -
                        expected);
                    if (!(error <= magnitude * (0x1p-9 + 0x1p-16))) n_wrong++;
                }
            }
            CAPTURE(kernels::isa_name(isa));
            CAPTURE(n_rows);
            CHECK(n_wrong == 0);
        }
    }
}

TEST_CASE("tensors at odd addresses are placed all the same") {
    numa::Team team(std::vector<numa::WorkerPlace>(1));
    CpuDevice device(team, kernels::IsaLevel::scalar);
    const std::vector<bf16_t> w = random_bf16(6, 7);
    std::vector<std::byte> file(1 + w.size() * sizeof(bf16_t));
    std::memcpy(file.data() + 1, w.data(), w.size() * sizeof(bf16_t));
    const Matrix matrix =
        device.place({DType::bf16, {2, 3}, file.data() + 1, 12}, nullptr, WeightUse::product);
    CHECK(reinterpret_cast<std::uintptr_t>(matrix.data) % alignof(bf16_t) == 0);
    CHECK(std::memcmp(matrix.data, w.data(), 12) == 0);
}

TEST_CASE("buffers are zero-filled and an impossible size is an error with the number") {
    numa::Team team(std::vector<numa::WorkerPlace>(1));
    CpuDevice device(team, kernels::IsaLevel::scalar);
    const Buffer buffer = device.allocate(1000, MemoryKind::shared);
    for (int i = 0; i < 1000; i++)
        REQUIRE(buffer.as<char>()[i] == 0);
    CHECK_THROWS_WITH_AS(device.allocate(std::size_t{1} << 60, MemoryKind::device),
                         doctest::Contains("1152921504.61 GB"), Error);
}
