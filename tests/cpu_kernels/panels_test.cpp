#include <doctest/doctest.h>

#include <algorithm>
#include <cstring>

#include "tests/cpu_kernels/aligned.h"
#include "tests/cpu_kernels/cases.h"

namespace baltoro::kernels {
namespace {

int n_panels_of(int n_rows) {
    return (n_rows + kPanelRows - 1) / kPanelRows;
}

Aligned<bf16_t> packed(const Table& table, const ActivationCase& x, int n_rows, int k) {
    Aligned<bf16_t> panels(static_cast<size_t>(n_panels_of(n_rows)) * panel_elements(k));
    for (int p = 0; p < n_panels_of(n_rows); ++p)
        table.pack_panel({.x = x.data() + p * kPanelRows * x.stride,
                          .x_stride = x.stride,
                          .row = nullptr,
                          .n_rows = std::min(kPanelRows, n_rows - p * kPanelRows),
                          .k = k,
                          .panel = panels.memory + p * panel_elements(k)});
    return panels;
}

bf16_t panel_at(const bf16_t* panels, int r, int j, int k) {
    return panels[static_cast<size_t>(r / 16) * panel_elements(k) +
                  static_cast<size_t>(j / 2) * 32 + static_cast<size_t>(r % 16) * 2 + j % 2];
}

TEST_CASE("pack_panel interleaves pairs, gathers rows and pads with zeros") {
    for (const CheckedLevel& level : checked_levels())
        for (const int k : {1, 2, 31, 32, 33, 64, 101, 200})
            for (const int n_rows : {0, 1, 7, 16}) {
                CAPTURE(level.name);
                CAPTURE(k);
                CAPTURE(n_rows);
                const ActivationCase x(20, k, 1);
                std::vector<int32_t> row;
                for (int r = 0; r < n_rows; ++r)
                    row.push_back((r * 7 + 3) % 20);
                Aligned<bf16_t> panel(panel_elements(k));
                std::fill_n(panel.memory, panel.n_elements, kCanaryBf16);
                level.table.pack_panel({.x = x.data(),
                                        .x_stride = x.stride,
                                        .row = row.data(),
                                        .n_rows = n_rows,
                                        .k = k,
                                        .panel = panel.memory});
                int n_wrong = 0;
                for (int r = 0; r < kPanelRows; ++r)
                    for (int j = 0; j < padded_depth(k); ++j) {
                        const bool inside = r < n_rows && j < k;
                        const bf16_t want = inside ? x.data()[row[r] * x.stride + j] : bf16_t{0};
                        n_wrong += panel_at(panel.memory, r, j, k) != want;
                    }
                CHECK(n_wrong == 0);
            }
}

struct PanelShape {
    int n;
    int k;
    int n_rows;
    RowRange range;
};

constexpr PanelShape kShapes[] = {{1, 1, 1, {0, 1}},       {5, 33, 3, {1, 5}},
                                  {50, 129, 17, {3, 50}},  {24, 128, 64, {0, 24}},
                                  {33, 300, 100, {0, 33}}, {140, 70, 33, {120, 140}},
                                  {9, 200, 270, {0, 9}},   {64, 256, 16, {0, 64}},
                                  {64, 256, 20, {0, 64}},  {96, 384, 80, {32, 96}}};

void check_panels_product(const CheckedLevel& level, const WeightCase& w, const PanelShape& shape) {
    const ActivationCase x(shape.n_rows, w.k, 8);
    const auto panels = packed(level.table, x, shape.n_rows, w.k);
    Aligned<uint8_t> scratch(level.table.panel_scratch_bytes(w.k, shape.n_rows));
    std::vector<float> gain(static_cast<size_t>(shape.n_rows), 0.5f);
    std::vector<int32_t> dst_row;
    for (int r = 0; r < shape.n_rows; ++r)
        dst_row.push_back(shape.n_rows - 1 - r);
    const int stride = w.n + 1;
    for (const bool adds : {false, true}) {
        const float start = adds ? 2.0f : kCanary;
        std::vector<float> dst(static_cast<size_t>(shape.n_rows) * stride, start);
        level.table.panels_product({.w = w.view(),
                                    .range = shape.range,
                                    .panels = panels.memory,
                                    .n_rows = shape.n_rows,
                                    .dst = dst.data(),
                                    .dst_stride = stride,
                                    .gain = adds ? gain.data() : nullptr,
                                    .dst_row = adds ? dst_row.data() : nullptr,
                                    .scratch = scratch.memory});
        for (int r = 0; r < shape.n_rows; ++r)
            for (int i = 0; i < stride; ++i) {
                const int row = adds ? dst_row[r] : r;
                const auto value = static_cast<double>(dst[static_cast<size_t>(row) * stride + i]);
                Expected e{static_cast<double>(start), 0.0};
                if (i >= shape.range.begin && i < shape.range.end) {
                    e = expected_dot(w, i, x, r);
                    if (adds)
                        e = {2.0 + 0.5 * e.value,
                             0.5 * e.bound + 0x1p-22 * (2.0 + std::abs(e.value))};
                }
                CAPTURE(r);
                CAPTURE(i);
                CAPTURE(value);
                CAPTURE(e.value);
                const bool good = is_within(e, value);
                REQUIRE(good);
            }
    }
}

TEST_CASE("panels_product agrees with the rows' sums") {
    for (const CheckedLevel& level : checked_levels())
        for (const WeightFormat format : {WeightFormat::fp8_block, WeightFormat::bf16})
            for (const Fill fill :
                 {Fill::normal, Fill::all_codes, Fill::extremes, Fill::hot_outlier})
                for (const PanelShape& shape : kShapes) {
                    CAPTURE(level.name);
                    CAPTURE(static_cast<int>(format));
                    CAPTURE(static_cast<int>(fill));
                    CAPTURE(shape.n);
                    CAPTURE(shape.n_rows);
                    check_panels_product(level, WeightCase(format, shape.n, shape.k, fill, 21),
                                         shape);
                }
}

TEST_CASE("panels so deep that a call goes through k in slices have the same bits in any range") {
    constexpr int kN = 64;
    constexpr int kK = 16640;
    constexpr int kRows = 20;
    const WeightCase w(WeightFormat::fp8_block, kN, kK, Fill::normal, 22);
    const ActivationCase x(kRows, kK, 9);
    for (const CheckedLevel& level : checked_levels()) {
        CAPTURE(level.name);
        const auto panels = packed(level.table, x, kRows, kK);
        Aligned<uint8_t> scratch(level.table.panel_scratch_bytes(kK, kRows));
        const auto product = [&](RowRange range) {
            std::vector<float> dst(size_t{kRows} * kN);
            level.table.panels_product({.w = w.view(),
                                        .range = range,
                                        .panels = panels.memory,
                                        .n_rows = kRows,
                                        .dst = dst.data(),
                                        .dst_stride = kN,
                                        .gain = nullptr,
                                        .dst_row = nullptr,
                                        .scratch = scratch.memory});
            return dst;
        };
        const std::vector<float> whole = product({0, kN});
        const std::vector<float> ragged = product({0, 40});
        for (size_t r = 0; r < kRows; ++r)
            CHECK(std::memcmp(&whole[r * kN], &ragged[r * kN], sizeof(float) * 40) == 0);
        const double first = static_cast<double>(whole[0]);
        CHECK(is_within(expected_dot(w, 0, x, 0), first));
    }
}

std::vector<float> panels_product_of(const Table& table,
                                     const Weight& w,
                                     const bf16_t* panels,
                                     int n_rows) {
    Aligned<uint8_t> scratch(table.panel_scratch_bytes(w.k, n_rows));
    std::vector<float> dst(static_cast<size_t>(n_rows) * w.n);
    table.panels_product({.w = w,
                          .range = {0, w.n},
                          .panels = panels,
                          .n_rows = n_rows,
                          .dst = dst.data(),
                          .dst_stride = w.n,
                          .gain = nullptr,
                          .dst_row = nullptr,
                          .scratch = scratch.memory});
    return dst;
}

// The panels of 240 rows are larger than the share of the second cache level that a level may want
// for them, and the weight rows more than it can work on at a time.
TEST_CASE("a row's panel product has the same bits beside many others") {
    constexpr int kRows = 240;
    for (const CheckedLevel& level : checked_levels()) {
        CAPTURE(level.name);
        const WeightCase w(WeightFormat::fp8_block, 290, 2304, Fill::normal, 24);
        const ActivationCase x(kRows, w.k, 10);
        const auto panels = packed(level.table, x, kRows, w.k);
        const auto all = panels_product_of(level.table, w.view(), panels.memory, kRows);
        for (const int panel : {0, 5, 14}) {
            CAPTURE(panel);
            const auto one = panels_product_of(
                level.table, w.view(), panels.memory + panel * panel_elements(w.k), kPanelRows);
            CHECK(std::memcmp(one.data(), &all[static_cast<size_t>(panel) * kPanelRows * w.n],
                              one.size() * sizeof(float)) == 0);
        }
    }
}

void check_panels_gate_up(const CheckedLevel& level,
                          const WeightCase& gate,
                          const WeightCase& up,
                          int n_rows,
                          RowRange range) {
    const ActivationCase x(n_rows, gate.k, 9);
    const auto panels = packed(level.table, x, n_rows, gate.k);
    Aligned<uint8_t> scratch(level.table.panel_scratch_bytes(gate.k, n_rows));
    Aligned<bf16_t> dst(static_cast<size_t>(n_panels_of(n_rows)) * panel_elements(gate.n));
    std::fill_n(dst.memory, dst.n_elements, kCanaryBf16);
    level.table.panels_gate_up({.gate = gate.view(),
                                .up = up.view(),
                                .range = range,
                                .panels = panels.memory,
                                .n_rows = n_rows,
                                .dst_panels = dst.memory,
                                .scratch = scratch.memory});
    for (int r = 0; r < n_panels_of(n_rows) * kPanelRows; ++r)
        for (int i = 0; i < gate.n; ++i) {
            const bf16_t bits = panel_at(dst.memory, r, i, gate.n);
            bool good = bits == kCanaryBf16;
            if (i >= range.begin && i < range.end) {
                good = bits == 0;
                if (r < n_rows)
                    good = is_within(
                        expected_gate_up(expected_dot(gate, i, x, r), expected_dot(up, i, x, r)),
                        static_cast<double>(float_from_bf16(bits)));
            }
            CAPTURE(r);
            CAPTURE(i);
            REQUIRE(good);
        }
}

TEST_CASE("panels_gate_up writes its range of every panel, packed") {
    for (const CheckedLevel& level : checked_levels())
        for (const WeightFormat format : {WeightFormat::fp8_block, WeightFormat::bf16})
            for (const Fill fill : {Fill::normal, Fill::all_codes, Fill::hot_outlier})
                for (const int n_rows : {1, 16, 50, 259}) {
                    CAPTURE(level.name);
                    CAPTURE(n_rows);
                    const WeightCase gate(format, 31, 140, fill, 22);
                    const WeightCase up(format, 31, 140, fill, 23);
                    check_panels_gate_up(level, gate, up, n_rows, {4, 31});
                    check_panels_gate_up(level, gate, up, n_rows, {4, 18});
                    // Nothing ragged: the last block is decoded and multiplied whole.
                    const WeightCase even_gate(format, 32, 256, fill, 24);
                    const WeightCase even_up(format, 32, 256, fill, 25);
                    check_panels_gate_up(level, even_gate, even_up, n_rows, {0, 32});
                }
}

}  // namespace
}  // namespace baltoro::kernels
