#include <doctest/doctest.h>

#include <cstring>

#include "tests/cpu_kernels/aligned.h"
#include "tests/cpu_kernels/cases.h"

namespace baltoro::kernels {
namespace {

struct Shape {
    int n;
    int k;
};

constexpr WeightFormat kFormats[] = {WeightFormat::fp8_block, WeightFormat::bf16};
constexpr Fill kFills[] = {Fill::normal, Fill::all_codes, Fill::extremes, Fill::hot_outlier};

// Runs rows_product on a range into a canary-filled matrix and returns it.
std::vector<float> product_of(
    const Table& table, const Weight& w, const ActivationCase& x, int n_rows, RowRange range) {
    std::vector<float> dst(static_cast<size_t>(n_rows) * (w.n + 1), kCanary);
    Aligned<uint8_t> scratch(table.row_scratch_bytes(w.k));
    table.rows_product({.w = w,
                        .range = range,
                        .x = x.data(),
                        .x_stride = x.stride,
                        .n_rows = n_rows,
                        .dst = dst.data(),
                        .dst_stride = w.n + 1,
                        .gain = nullptr,
                        .dst_row = nullptr,
                        .scratch = scratch.memory});
    return dst;
}

void check_product(const CheckedLevel& level, const WeightCase& w, int n_rows, RowRange range) {
    const ActivationCase x(n_rows, w.k, 5);
    const std::vector<float> dst = product_of(level.table, w.view(), x, n_rows, range);
    for (int r = 0; r < n_rows; ++r)
        for (int i = 0; i <= w.n; ++i) {
            const float value = dst[static_cast<size_t>(r) * (w.n + 1) + i];
            const bool inside = i >= range.begin && i < range.end;
            const Expected expected = inside ? expected_dot(w, i, x, r) : Expected{};
            const bool good = inside ? is_within(expected, static_cast<double>(value))
                                     : bits_from_float(value) == bits_from_float(kCanary);
            CAPTURE(r);
            CAPTURE(i);
            CAPTURE(value);
            CAPTURE(expected.value);
            REQUIRE(good);
        }
}

TEST_CASE("rows_product stays within the bound of an f32 sum and inside its range") {
    constexpr Shape kShapes[] = {{1, 1},     {3, 7},    {5, 64},  {9, 127},  {6, 129},
                                 {130, 200}, {13, 300}, {4, 576}, {140, 33}, {64, 384}};
    for (const CheckedLevel& level : checked_levels())
        for (const WeightFormat format : kFormats)
            for (const Fill fill : kFills)
                for (const Shape shape : kShapes) {
                    CAPTURE(level.name);
                    CAPTURE(static_cast<int>(format));
                    CAPTURE(static_cast<int>(fill));
                    CAPTURE(shape.n);
                    CAPTURE(shape.k);
                    const WeightCase w(format, shape.n, shape.k, fill, 11);
                    check_product(level, w, 1, {0, shape.n});
                    check_product(level, w, 3, {shape.n / 3, shape.n});
                    check_product(level, w, 0, {0, shape.n});
                }
}

TEST_CASE("rows_product is right for every count of activation rows") {
    for (const CheckedLevel& level : checked_levels())
        for (const WeightFormat format : kFormats)
            for (int n_rows = 1; n_rows <= kMaxRows; ++n_rows) {
                CAPTURE(level.name);
                CAPTURE(n_rows);
                check_product(level, WeightCase(format, 7, 333, Fill::normal, 12), n_rows, {0, 7});
                // So deep that kernels cut it along k, with rows enough to go by each cut.
                check_product(level, WeightCase(format, 21, 4200, Fill::normal, 12), n_rows,
                              {0, 21});
            }
}

TEST_CASE("a row's product has the same bits beside any other rows and in any range") {
    for (const CheckedLevel& level : checked_levels())
        for (const WeightFormat format : kFormats)
            // The last two are so deep, and have so many rows, that kernels go by parts of them.
            for (const Shape shape : {Shape{41, 7 * 128 + 55},
                                      {41, 7 * 128 + 64},
                                      {64, 256},
                                      {77, 9 * 128 + 40},
                                      {41, 48 * 128}}) {
                CAPTURE(level.name);
                CAPTURE(shape.k);
                // Of the shape without anything ragged, most codes have no exponent.
                const Fill fill = shape.n == 64 ? Fill::hot_outlier : Fill::normal;
                const WeightCase w(format, shape.n, shape.k, fill, 13);
                const ActivationCase x(kMaxRows, w.k, 5);
                const auto all = product_of(level.table, w.view(), x, kMaxRows, {0, w.n});
                for (int n_rows = 1; n_rows < kMaxRows; ++n_rows) {
                    CAPTURE(n_rows);
                    const auto some = product_of(level.table, w.view(), x, n_rows, {0, w.n});
                    CHECK(std::memcmp(some.data(), all.data(), some.size() * sizeof(float)) == 0);
                }
                for (const RowRange range : {RowRange{10, 17}, RowRange{30, 40}}) {
                    const auto part = product_of(level.table, w.view(), x, kMaxRows, range);
                    for (int r = 0; r < kMaxRows; ++r) {
                        const size_t at = static_cast<size_t>(r) * (w.n + 1) + range.begin;
                        CHECK(std::memcmp(&part[at], &all[at],
                                          (range.end - range.begin) * sizeof(float)) == 0);
                    }
                }
            }
}

TEST_CASE("a gain adds the scaled product to the row that dst_row names") {
    for (const CheckedLevel& level : checked_levels())
        for (const int n_rows : {1, 5, 16}) {
            CAPTURE(level.name);
            CAPTURE(n_rows);
            const WeightCase w(WeightFormat::fp8_block, 10, 150, Fill::normal, 14);
            const ActivationCase x(n_rows, w.k, 6);
            std::vector<float> gain;
            std::vector<int32_t> dst_row;
            for (int r = 0; r < n_rows; ++r) {
                gain.push_back(0.25f * static_cast<float>(r + 1));
                dst_row.push_back(2 * (n_rows - 1 - r));
            }
            std::vector<float> dst(static_cast<size_t>(2 * n_rows) * 10, 3.0f);
            Aligned<uint8_t> scratch(level.table.row_scratch_bytes(w.k));
            level.table.rows_product({.w = w.view(),
                                      .range = {2, 9},
                                      .x = x.data(),
                                      .x_stride = x.stride,
                                      .n_rows = n_rows,
                                      .dst = dst.data(),
                                      .dst_stride = 10,
                                      .gain = gain.data(),
                                      .dst_row = dst_row.data(),
                                      .scratch = scratch.memory});
            for (int r = 0; r < n_rows; ++r)
                for (int i = 0; i < 10; ++i) {
                    Expected e{3.0, 0.0};
                    if (i >= 2 && i < 9) {
                        const Expected dot = expected_dot(w, i, x, r);
                        e.value += static_cast<double>(gain[r]) * dot.value;
                        e.bound = static_cast<double>(gain[r]) * dot.bound +
                                  0x1p-22 * (std::abs(e.value) + 3.0);
                    }
                    CHECK(is_within(
                        e, static_cast<double>(dst[static_cast<size_t>(dst_row[r]) * 10 + i])));
                    CHECK(dst[static_cast<size_t>(dst_row[r] + 1) * 10 + i] == 3.0f);
                }
        }
}

TEST_CASE("rows_gate_up multiplies silu(gate) with up and rounds once") {
    constexpr Shape kShapes[] = {{1, 5}, {7, 130}, {6, 128}, {131, 40}, {32, 256}};
    for (const CheckedLevel& level : checked_levels())
        for (const WeightFormat format : kFormats)
            for (const Fill fill : kFills)
                for (const Shape shape : kShapes)
                    for (const int n_rows : {1, 2, 11}) {
                        CAPTURE(level.name);
                        CAPTURE(shape.n);
                        CAPTURE(n_rows);
                        const WeightCase gate(format, shape.n, shape.k, fill, 15);
                        const WeightCase same_shape(format, shape.n, shape.k, fill, 16);
                        const ActivationCase x(n_rows, shape.k, 7);
                        const RowRange range = {shape.n > 3 ? 1 : 0, shape.n};
                        std::vector<bf16_t> dst(static_cast<size_t>(n_rows) * (shape.n + 1),
                                                kCanaryBf16);
                        Aligned<uint8_t> scratch(level.table.row_scratch_bytes(shape.k));
                        level.table.rows_gate_up({.gate = gate.view(),
                                                  .up = same_shape.view(),
                                                  .range = range,
                                                  .x = x.data(),
                                                  .x_stride = x.stride,
                                                  .n_rows = n_rows,
                                                  .dst = dst.data(),
                                                  .dst_stride = shape.n + 1,
                                                  .scratch = scratch.memory});
                        for (int r = 0; r < n_rows; ++r)
                            for (int i = 0; i <= shape.n; ++i) {
                                const bf16_t bits = dst[static_cast<size_t>(r) * (shape.n + 1) + i];
                                const bool inside = i >= range.begin && i < range.end;
                                bool good = bits == kCanaryBf16;
                                if (inside) {
                                    const Expected e =
                                        expected_gate_up(expected_dot(gate, i, x, r),
                                                         expected_dot(same_shape, i, x, r));
                                    good = is_within(e, static_cast<double>(float_from_bf16(bits)));
                                }
                                CAPTURE(i);
                                REQUIRE(good);
                            }
                    }
}

}  // namespace
}  // namespace baltoro::kernels
