#include <doctest/doctest.h>

#include <cstring>

#include "tests/cpu_kernels/cases.h"

namespace baltoro::kernels {
namespace {

std::vector<float> random_floats(size_t n, uint64_t seed) {
    Random random(seed);
    std::vector<float> values(n);
    for (float& value : values)
        value = static_cast<float>(random.normal());
    return values;
}

struct TransposedShape {
    int n;
    int k;
    RowRange range;
};

void check_transposed(
    const CheckedLevel& level, const WeightCase& w, RowRange range, int n_rows, bool accumulate) {
    const int length = range.end - range.begin;
    const std::vector<float> x = random_floats(static_cast<size_t>(n_rows) * (length + 2), 31);
    const int stride = w.k + 3;
    // Every column begins with something else, or sums in the wrong order would not show.
    std::vector<float> dst;
    for (int i = 0; i < n_rows * stride; ++i)
        dst.push_back(4.0f + 0.25f * static_cast<float>(i % stride));
    level.table.transposed_product(
        {w.view(), range, x.data(), length + 2, n_rows, dst.data(), stride, accumulate});
    for (int r = 0; r < n_rows; ++r)
        for (int j = 0; j < stride; ++j) {
            const double before = 4.0 + 0.25 * j;
            Expected e{accumulate || j >= w.k ? before : 0.0, 0.0};
            double magnitude = before;
            for (int i = range.begin; i < range.end && j < w.k; ++i) {
                const double product =
                    static_cast<double>(
                        x[static_cast<size_t>(r) * (length + 2) + i - range.begin]) *
                    w.at(i, j);
                e.value += product;
                magnitude += std::abs(product);
            }
            if (j < w.k) e.bound = (length + 8) * 0x1p-24 * magnitude + 1e-35;
            CAPTURE(r);
            CAPTURE(j);
            CAPTURE(e.value);
            REQUIRE(is_within(e, static_cast<double>(dst[static_cast<size_t>(r) * stride + j])));
        }
}

TEST_CASE("transposed_product sums over its range of weight rows") {
    constexpr TransposedShape kShapes[] = {{1, 1, {0, 1}},         {9, 70, {2, 9}},
                                           {130, 192, {100, 130}}, {260, 200, {100, 260}},
                                           {64, 300, {0, 64}},     {5, 31, {3, 3}}};
    for (const CheckedLevel& level : checked_levels())
        for (const WeightFormat format : {WeightFormat::fp8_block, WeightFormat::bf16})
            for (const Fill fill : {Fill::normal, Fill::all_codes, Fill::extremes})
                for (const TransposedShape& shape : kShapes)
                    for (const int n_rows : {0, 1, 3, 9, 16}) {
                        CAPTURE(level.name);
                        CAPTURE(static_cast<int>(format));
                        CAPTURE(static_cast<int>(fill));
                        CAPTURE(shape.n);
                        CAPTURE(n_rows);
                        const WeightCase w(format, shape.n, shape.k, fill, 32);
                        check_transposed(level, w, shape.range, n_rows, false);
                        check_transposed(level, w, shape.range, n_rows, true);
                    }
}

TEST_CASE("a row of the transposed product has the same bits beside any other rows") {
    constexpr int kN = 170;
    constexpr int kK = 301;
    for (const CheckedLevel& level : checked_levels()) {
        CAPTURE(level.name);
        const WeightCase w(WeightFormat::fp8_block, kN, kK, Fill::normal, 33);
        const std::vector<float> x = random_floats(size_t{16} * kN, 34);
        const auto product = [&](int n_rows) {
            std::vector<float> dst(static_cast<size_t>(n_rows) * kK);
            level.table.transposed_product(
                {w.view(), {0, kN}, x.data(), kN, n_rows, dst.data(), kK, false});
            return dst;
        };
        const std::vector<float> all = product(16);
        for (int n_rows = 1; n_rows < 16; ++n_rows)
            CHECK(std::memcmp(product(n_rows).data(), all.data(), sizeof(float) * n_rows * kK) ==
                  0);
    }
}

TEST_CASE("router_product multiplies f32 activations with bf16 or f32 weights") {
    for (const CheckedLevel& level : checked_levels())
        for (const bool bf16 : {false, true})
            for (const int k : {1, 31, 64, 205})
                for (const int n_rows : {0, 1, 2, 5}) {
                    CAPTURE(level.name);
                    CAPTURE(k);
                    CAPTURE(n_rows);
                    constexpr int kN = 11;
                    std::vector<float> w = random_floats(static_cast<size_t>(kN) * k, 35);
                    std::vector<bf16_t> narrow;
                    for (float& value : w) {
                        narrow.push_back(bf16_from_float(value));
                        if (bf16) value = float_from_bf16(narrow.back());
                    }
                    const std::vector<float> x = random_floats(static_cast<size_t>(n_rows) * k, 36);
                    std::vector<float> dst(static_cast<size_t>(n_rows) * kN, kCanary);
                    level.table.router_product({bf16 ? narrow.data() : nullptr,
                                                bf16 ? nullptr : w.data(),
                                                kN,
                                                k,
                                                {1, 10},
                                                x.data(),
                                                n_rows,
                                                dst.data()});
                    for (int r = 0; r < n_rows; ++r)
                        for (int i = 0; i < kN; ++i) {
                            Expected e;
                            double magnitude = 0;
                            for (int j = 0; j < k; ++j) {
                                const double product =
                                    static_cast<double>(x[static_cast<size_t>(r) * k + j]) *
                                    static_cast<double>(w[static_cast<size_t>(i) * k + j]);
                                e.value += product;
                                magnitude += std::abs(product);
                            }
                            e.bound = (k + 8) * 0x1p-24 * magnitude;
                            if (i == 0 || i == 10) e = {static_cast<double>(kCanary), 0.0};
                            CHECK(is_within(
                                e, static_cast<double>(dst[static_cast<size_t>(r) * kN + i])));
                        }
                }
}

}  // namespace
}  // namespace baltoro::kernels
