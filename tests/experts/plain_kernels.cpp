#include "tests/experts/plain_kernels.h"

#include <cmath>

namespace baltoro::testing {

using namespace kernels;

float weight_at(const Weight& w, int i, int j) {
    const std::ptrdiff_t at = i * w.stride + j;
    if (w.format == WeightFormat::bf16) {
        return float_from_bf16(static_cast<const bf16_t*>(w.data)[at]);
    }
    const int n_block_columns = (w.k + kScaleBlock - 1) / kScaleBlock;
    return float_from_e4m3(static_cast<const e4m3_t*>(w.data)[at]) *
           w.scale[i / kScaleBlock * n_block_columns + j / kScaleBlock];
}

namespace {

float silu(float z) {
    return z / (1.0f + std::exp(-z));
}

// Element j of row r of consecutive panels of depth k.
std::size_t panel_at(int r, int j, int k) {
    return r / kPanelRows * panel_elements(k) + j / 2 * 2 * kPanelRows + r % kPanelRows * 2 + j % 2;
}

template <typename Element>
float dot(const Weight& w, int i, Element element) {
    float sum = 0;
    for (int j = 0; j < w.k; ++j)
        sum += weight_at(w, i, j) * float_from_bf16(element(j));
    return sum;
}

void store(float product,
           float* dst,
           std::ptrdiff_t dst_stride,
           int r,
           int i,
           const float* gain,
           const std::int32_t* dst_row) {
    if (gain == nullptr) {
        dst[r * dst_stride + i] = product;
        return;
    }
    dst[(dst_row != nullptr ? dst_row[r] : r) * dst_stride + i] += gain[r] * product;
}

void rows_product(const RowsProduct& p) noexcept {
    for (int r = 0; r < p.n_rows; ++r) {
        for (int i = p.range.begin; i < p.range.end; ++i) {
            const float sum = dot(p.w, i, [&](int j) { return p.x[r * p.x_stride + j]; });
            store(sum, p.dst, p.dst_stride, r, i, p.gain, p.dst_row);
        }
    }
}

void rows_gate_up(const RowsGateUp& p) noexcept {
    for (int r = 0; r < p.n_rows; ++r) {
        const auto x = [&](int j) { return p.x[r * p.x_stride + j]; };
        for (int i = p.range.begin; i < p.range.end; ++i) {
            p.dst[r * p.dst_stride + i] =
                bf16_from_float(silu(dot(p.gate, i, x)) * dot(p.up, i, x));
        }
    }
}

void pack_panel(const PackPanel& p) noexcept {
    for (int r = 0; r < kPanelRows; ++r) {
        for (int j = 0; j < padded_depth(p.k); ++j) {
            const int row = p.row != nullptr && r < p.n_rows ? p.row[r] : r;
            const bool is_inside = r < p.n_rows && j < p.k;
            p.panel[panel_at(r, j, p.k)] = is_inside ? p.x[row * p.x_stride + j] : bf16_t{0};
        }
    }
}

// Reads the padding too, as wide kernels do, so that garbage in it is not overlooked.
float padding_sum(const bf16_t* panels, int r, int k) {
    float sum = 0;
    for (int j = k; j < padded_depth(k); ++j)
        sum += float_from_bf16(panels[panel_at(r, j, k)]);
    return sum;
}

void panels_product(const PanelsProduct& p) noexcept {
    for (int r = 0; r < p.n_rows; ++r) {
        for (int i = p.range.begin; i < p.range.end; ++i) {
            const float sum = dot(p.w, i, [&](int j) { return p.panels[panel_at(r, j, p.w.k)]; }) +
                              padding_sum(p.panels, r, p.w.k);
            store(sum, p.dst, p.dst_stride, r, i, p.gain, p.dst_row);
        }
    }
    static_cast<float*>(p.scratch)[0] = 1;
}

void panels_gate_up(const PanelsGateUp& p) noexcept {
    const int n_padded_rows = (p.n_rows + kPanelRows - 1) / kPanelRows * kPanelRows;
    for (int r = 0; r < n_padded_rows; ++r) {
        const auto x = [&](int j) { return p.panels[panel_at(r, j, p.gate.k)]; };
        for (int i = p.range.begin; i < p.range.end; ++i) {
            const float value = silu(dot(p.gate, i, x)) * dot(p.up, i, x);
            p.dst_panels[panel_at(r, i, p.gate.n)] =
                r < p.n_rows ? bf16_from_float(value) : bf16_t{0};
        }
    }
    static_cast<float*>(p.scratch)[0] = 1;
}

void add(const float* src, float* dst, std::size_t n) noexcept {
    for (std::size_t i = 0; i < n; ++i)
        dst[i] += src[i];
}

std::size_t row_scratch_bytes(int) noexcept {
    return 0;
}

std::size_t panel_scratch_bytes(int, int) noexcept {
    return 64;
}

}  // namespace

Table plain_kernels(int panel_min_rows) {
    Table table{};
    table.rows_product = rows_product;
    table.rows_gate_up = rows_gate_up;
    table.row_scratch_bytes = row_scratch_bytes;
    table.pack_panel = pack_panel;
    table.panels_product = panels_product;
    table.panels_gate_up = panels_gate_up;
    table.panel_scratch_bytes = panel_scratch_bytes;
    table.add = add;
    table.panel_min_rows = panel_min_rows;
    return table;
}

}  // namespace baltoro::testing
