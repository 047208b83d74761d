#pragma once

#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "base/random.h"
#include "cpu_kernels/kernels.h"

namespace baltoro::kernels {

// A level to check; besides those this CPU runs there is "amx emulated", whose tiles are plain C.
struct CheckedLevel {
    std::string name;
    Table table;
};
std::vector<CheckedLevel> checked_levels();

enum class Fill {
    normal,       // random signs and sizes
    all_codes,    // every e4m3 code in turn; NaN codes only in every seventh row
    extremes,     // zeros, +-448 and subnormals
    hot_outlier,  // tiny values and one large
};

// A weight matrix with its memory: rows may be longer than k and start at an odd address.
struct WeightCase {
    WeightFormat format;
    int n;
    int k;
    int padding;     // elements between rows
    int misaligned;  // bytes
    Fill fill;
    std::vector<uint8_t> bytes;
    std::vector<float> scales;

    WeightCase(WeightFormat format, int n, int k, Fill fill, uint64_t seed);
    Weight view() const;
    // The exact value of w[i, j], written anew from the format's definition.
    double at(int i, int j) const;
};

// Activations bf16 [n_rows, k], rows `stride` apart, from an odd element on.
struct ActivationCase {
    std::vector<bf16_t> values;
    ptrdiff_t stride;
    ActivationCase(int n_rows, int k, uint64_t seed);
    const bf16_t* data() const { return values.data() + 1; }
    double at(int r, int j) const {
        return static_cast<double>(float_from_bf16(data()[r * stride + j]));
    }
};

// A sum in double and how far an f32 sum of it in any order may lie from it.
struct Expected {
    double value = 0;
    double bound = 0;
};

Expected expected_dot(const WeightCase& w, int i, const ActivationCase& x, int r);
Expected expected_gate_up(const Expected& gate, const Expected& up);

// NaN for NaN, else within the bound.
bool is_within(const Expected& expected, double value);

// A destination filled with a pattern that no kernel computes, and its surroundings.
constexpr float kCanary = -12345.678f;
constexpr bf16_t kCanaryBf16 = 0xabcd;

}  // namespace baltoro::kernels
