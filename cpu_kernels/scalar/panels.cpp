#include "cpu_kernels/levels.h"
#include "cpu_kernels/scalar/kernels.h"
#include "cpu_kernels/scalar/weights.h"

namespace baltoro::kernels::scalar {
namespace {

// Where element j of row r lies in panels of depth k.
size_t panel_index(int r, int j, int k) noexcept {
    return (r / kPanelRows) * panel_elements(k) + static_cast<size_t>(j / 2) * kPanelRows * 2 +
           static_cast<size_t>(r % kPanelRows) * 2 + static_cast<size_t>(j % 2);
}

float dot(const Weight& w, int i, const bf16_t* panels, int r) noexcept {
    float sum = 0.0f;
    for (int j = 0; j < w.k; ++j)
        sum += float_from_bf16(panels[panel_index(r, j, w.k)]) * weight_at(w, i, j);
    return sum;
}

}  // namespace

void pack_panel(const PackPanel& a) noexcept {
    for (int r = 0; r < kPanelRows; ++r) {
        const bf16_t* x = r < a.n_rows ? a.x + (a.row ? a.row[r] : r) * a.x_stride : nullptr;
        for (int j = 0; j < padded_depth(a.k); ++j)
            a.panel[panel_index(r, j, a.k)] = x && j < a.k ? x[j] : bf16_t{0};
    }
}

void panels_product(const PanelsProduct& a) noexcept {
    for (int i = a.range.begin; i < a.range.end; ++i)
        for (int r = 0; r < a.n_rows; ++r)
            store_product(a, r, i, dot(a.w, i, a.panels, r));
}

void panels_gate_up(const PanelsGateUp& a) noexcept {
    const int padded_rows = (a.n_rows + kPanelRows - 1) / kPanelRows * kPanelRows;
    for (int i = a.range.begin; i < a.range.end; ++i)
        for (int r = 0; r < padded_rows; ++r) {
            bf16_t value = 0;
            if (r < a.n_rows)
                value =
                    bf16_from_float(silu(dot(a.gate, i, a.panels, r)) * dot(a.up, i, a.panels, r));
            a.dst_panels[panel_index(r, i, a.gate.n)] = value;
        }
}

size_t row_scratch_bytes(int) noexcept {
    return 0;
}

size_t panel_scratch_bytes(int, int) noexcept {
    return 64;
}

void install(Table& table) noexcept {
    table = {.rows_product = rows_product,
             .rows_gate_up = rows_gate_up,
             .row_scratch_bytes = row_scratch_bytes,
             .transposed_product = transposed_product,
             .router_product = router_product,
             .pack_panel = pack_panel,
             .panels_product = panels_product,
             .panels_gate_up = panels_gate_up,
             .panel_scratch_bytes = panel_scratch_bytes,
             .panel_min_rows = INT32_MAX,
             .rms_norm = rms_norm,
             .softmax_block = softmax_block,
             .bf16_from_f32 = bf16_from_f32,
             .f32_from_bf16 = f32_from_bf16,
             .add = add,
             .scale = scale};
}

}  // namespace baltoro::kernels::scalar
