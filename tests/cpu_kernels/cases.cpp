#include "tests/cpu_kernels/cases.h"

#include <cstring>

#include "cpu_kernels/amx/kernels.h"
#include "cpu_kernels/isa.h"
#include "cpu_kernels/levels.h"

namespace baltoro::kernels {
namespace {

constexpr double kRoundoff = 0x1p-24;  // of f32

double e4m3_value(e4m3_t code) {
    const int exponent = (code >> 3) & 15;
    const int mantissa = code & 7;
    const double sign = (code & 0x80) ? -1.0 : 1.0;
    if (exponent == 15 && mantissa == 7) return std::nan("");
    if (exponent == 0) return sign * std::ldexp(mantissa, -9);
    return sign * std::ldexp(8 + mantissa, exponent - 10);
}

e4m3_t e4m3_of(Fill fill, int i, int j, Random& random) {
    const auto any = static_cast<e4m3_t>(random.next());
    switch (fill) {
        case Fill::normal:
            return e4m3_from_float(static_cast<float>(random.normal()));
        case Fill::all_codes: {
            const auto code = static_cast<e4m3_t>(i * 37 + j);
            return (code & 0x7f) == 0x7f && i % 7 != 3 ? e4m3_t{0x3f} : code;
        }
        case Fill::extremes: {
            constexpr e4m3_t kCodes[] = {0x00, 0x80, 0x7e, 0xfe, 0x01, 0x87, 0x07, 0x08};
            return kCodes[any & 7];
        }
        case Fill::hot_outlier:
            return j == i % 5 ? 0x7e : (any & 0x8f);
    }
    return 0;
}

bf16_t bf16_of(Fill fill, int i, int j, Random& random) {
    if (fill == Fill::normal || fill == Fill::hot_outlier) {
        const double size = fill == Fill::hot_outlier && j == i % 5 ? 1e6 : 1.0;
        return bf16_from_float(static_cast<float>(size * random.normal()));
    }
    return bf16_from_float(static_cast<float>(e4m3_value(e4m3_of(fill, i, j, random))));
}

}  // namespace

std::vector<CheckedLevel> checked_levels() {
    std::vector<CheckedLevel> levels;
    for (const IsaLevel level : available_isas())
        levels.push_back({std::string(isa_name(level)), table_for(level)});
    if (highest_isa() >= IsaLevel::avx512_bf16) {
        constexpr size_t kLarge = 48 * 1024;
        Table other = table_for(IsaLevel::avx512_bf16);
        avx512_bf16::install_for(first_level_bytes() < kLarge ? kLarge : 32 * 1024, other);
        levels.push_back({"avx512_bf16 beside another first cache level", other});
        Table emulated = table_for(IsaLevel::avx512_bf16);
        emulated.rows_product = amx_emulated::rows_product;
        emulated.rows_gate_up = amx_emulated::rows_gate_up;
        emulated.row_scratch_bytes = amx_emulated::row_scratch_bytes;
        emulated.panels_product = amx_emulated::panels_product;
        emulated.panels_gate_up = amx_emulated::panels_gate_up;
        emulated.panel_scratch_bytes = amx_emulated::panel_scratch_bytes;
        emulated.transposed_product = amx_emulated::transposed_product;
        levels.push_back({"amx emulated", emulated});
    }
    return levels;
}

WeightCase::WeightCase(WeightFormat format_, int n_, int k_, Fill fill_, uint64_t seed)
    : format(format_), n(n_), k(k_), fill(fill_) {
    Random random(seed);
    padding = static_cast<int>(random.below(4));
    const int width = format == WeightFormat::bf16 ? 2 : 1;
    misaligned = static_cast<int>(random.below(32)) * width;
    bytes.resize(static_cast<size_t>(misaligned) + static_cast<size_t>(n) * (k + padding) * width);
    for (int i = 0; i < n; ++i)
        for (int j = 0; j < k; ++j) {
            uint8_t* to =
                bytes.data() + misaligned + (static_cast<size_t>(i) * (k + padding) + j) * width;
            if (format == WeightFormat::bf16) {
                const bf16_t value = bf16_of(fill, i, j, random);
                std::memcpy(to, &value, sizeof value);
            } else {
                *to = e4m3_of(fill, i, j, random);
            }
        }
    // The last row has no padding behind it, so that the sanitizer sees reads past the end.
    bytes.resize(bytes.size() - static_cast<size_t>(padding) * width);
    bytes.shrink_to_fit();
    const size_t n_scales = static_cast<size_t>((n + 127) / 128) * ((k + 127) / 128);
    for (size_t s = 0; s < n_scales; ++s)
        scales.push_back(std::ldexp(static_cast<float>(1.0 + random.uniform()),
                                    static_cast<int>(random.below(41)) - 20));
}

Weight WeightCase::view() const {
    return {.data = bytes.data() + misaligned,
            .scale = format == WeightFormat::bf16 ? nullptr : scales.data(),
            .n = n,
            .k = k,
            .stride = k + padding,
            .format = format};
}

double WeightCase::at(int i, int j) const {
    const size_t element = static_cast<size_t>(i) * (k + padding) + j;
    if (format == WeightFormat::bf16) {
        bf16_t value;
        std::memcpy(&value, bytes.data() + misaligned + 2 * element, sizeof value);
        return static_cast<double>(float_from_bf16(value));
    }
    const size_t block = static_cast<size_t>(i / 128) * ((k + 127) / 128) + j / 128;
    return e4m3_value(bytes[misaligned + element]) * static_cast<double>(scales[block]);
}

ActivationCase::ActivationCase(int n_rows, int k, uint64_t seed) : stride(k + 3) {
    Random random(seed ^ 0xac71fa7e);
    values.resize(static_cast<size_t>(n_rows) * stride + 1);
    for (bf16_t& value : values)
        value = bf16_from_float(static_cast<float>(random.normal()));
    // Exactly as long as the last row needs.
    if (n_rows > 0) values.resize(values.size() - 3);
    values.shrink_to_fit();
}

Expected expected_dot(const WeightCase& w, int i, const ActivationCase& x, int r) {
    Expected e;
    double magnitude = 0;
    for (int j = 0; j < w.k; ++j) {
        const double product = w.at(i, j) * x.at(r, j);
        e.value += product;
        magnitude += std::abs(product);
    }
    // k products and additions, the scale and a fold of 16 lanes, each with one rounding.
    e.bound = (w.k + 8) * kRoundoff * magnitude + 1e-35;
    return e;
}

Expected expected_gate_up(const Expected& gate, const Expected& up) {
    const double silu = gate.value / (1.0 + std::exp(-gate.value));
    Expected e;
    e.value = silu * up.value;
    // |silu'| <= 1.1; the result is rounded to bf16; the exponential is good to a few ulp.
    const double silu_bound = 1.1 * gate.bound + 8 * kRoundoff * std::abs(silu);
    e.bound = silu_bound * std::abs(up.value) + std::abs(silu) * up.bound + silu_bound * up.bound;
    e.bound += 0x1p-8 * (std::abs(e.value) + e.bound) + 1e-35;
    return e;
}

bool is_within(const Expected& expected, double value) {
    if (std::isnan(expected.value)) return std::isnan(value);
    return std::abs(value - expected.value) <= expected.bound;
}

}  // namespace baltoro::kernels
