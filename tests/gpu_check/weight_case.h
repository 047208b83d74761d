#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

#include "gpu_kernels/kernels.h"
#include "tests/gpu_check/check_device.h"
#include "tests/gpu_check/random_values.h"

namespace baltoro::gpu_check {

enum class Fill {
    normal,     // random signs and sizes
    all_codes,  // every e4m3 code in turn, NaN codes left out
    extremes,   // zeros, +-448 and subnormals
};

// A weight matrix [n, k] with its exact values.
struct WeightCase {
    WeightCase(const CheckDevice& device,
               gpu::WeightFormat format_of,
               int rows,
               int columns,
               Fill fill,
               std::uint64_t stream)
        : format(format_of),
          n(rows),
          k(columns),
          scale_values(scales(rows, columns, stream)),
          byte_values(bytes(format_of, rows, columns, fill, stream)),
          data(device, byte_values),
          scale(device, scale_values) {}

    gpu::Weight view() const {
        return {data.data(), format == gpu::WeightFormat::fp8_block ? scale.data() : nullptr, n, k,
                format};
    }

    double at(int i, int j) const {
        const std::size_t idx =
            static_cast<std::size_t>(i) * static_cast<std::size_t>(k) + static_cast<std::size_t>(j);
        if (format == gpu::WeightFormat::fp8_block) {
            const std::size_t blocks = static_cast<std::size_t>((k + 127) / 128);
            const float s = scale_values[static_cast<std::size_t>(i / 128) * blocks +
                                         static_cast<std::size_t>(j / 128)];
            return static_cast<double>(float_from_e4m3(std::to_integer<e4m3_t>(byte_values[idx]))) *
                   static_cast<double>(s);
        }
        if (format == gpu::WeightFormat::bf16) {
            bf16_t value = 0;
            std::memcpy(&value, byte_values.data() + idx * 2, 2);
            return from_bf16(value);
        }
        float value = 0;
        std::memcpy(&value, byte_values.data() + idx * 4, 4);
        return static_cast<double>(value);
    }

    gpu::WeightFormat format;
    int n;
    int k;
    std::vector<float> scale_values;
    std::vector<std::byte> byte_values;
    DeviceArray<std::byte> data;
    DeviceArray<float> scale;

  private:
    static std::vector<float> scales(int rows, int columns, std::uint64_t stream) {
        Random random(check_seed() * 77 + stream);
        std::vector<float> values(static_cast<std::size_t>((rows + 127) / 128) *
                                  static_cast<std::size_t>((columns + 127) / 128));
        // Powers of two and others, over 2^16.
        for (std::size_t i = 0; i < values.size(); i++)
            values[i] = static_cast<float>(std::exp2(static_cast<double>(random.below(17)) - 12) *
                                           (i % 2 == 0 ? 1.0 : 1.0 + random.uniform()));
        return values;
    }

    static std::vector<std::byte> bytes(
        gpu::WeightFormat format, int rows, int columns, Fill fill, std::uint64_t stream) {
        const std::size_t size = static_cast<std::size_t>(rows) * static_cast<std::size_t>(columns);
        const std::vector<float> values = random_floats(size, stream, 0.5f);
        const std::size_t width = format == gpu::WeightFormat::fp8_block ? 1
                                  : format == gpu::WeightFormat::bf16    ? 2
                                                                         : 4;
        constexpr e4m3_t kExtremes[] = {0x00, 0x80, 0x7e, 0xfe, 0x01, 0x81, 0x07, 0x87};
        std::vector<std::byte> bytes(size * width);
        for (std::size_t i = 0; i < size; i++) {
            const auto any = static_cast<e4m3_t>(i % 256);
            e4m3_t code = e4m3_from_float(values[i]);
            if (fill == Fill::all_codes) code = (any & 0x7f) == 0x7f ? e4m3_t{1} : any;
            if (fill == Fill::extremes) code = kExtremes[i * 5 % 8];
            const bf16_t narrow = bf16_from_float(values[i]);
            if (width == 1) bytes[i] = std::byte{code};
            if (width == 2) std::memcpy(bytes.data() + i * 2, &narrow, 2);
            if (width == 4) std::memcpy(bytes.data() + i * 4, &values[i], 4);
        }
        return bytes;
    }
};

// A sum in double and how far an f32 sum of it in any order may lie from it.
struct Expected {
    double value = 0;
    double bound = 0;
};

// sum_j w[i, j] x[j]; `x_at` gives x[j] as a double.
template <typename XAt>
Expected expected_dot(const WeightCase& w, int i, const XAt& x_at) {
    double sum = 0;
    double magnitude = 0;
    for (int j = 0; j < w.k; j++) {
        const double term = w.at(i, j) * x_at(j);
        sum += term;
        magnitude += std::abs(term);
    }
    // Up to log2(k) + k / 128 additions in one chain, a product and a scale, each half an f32 step.
    return {sum, magnitude * 0x1p-24 * (w.k / 128.0 + 32)};
}

// silu(gate) * up rounded to bf16, from the two sums.
inline Expected expected_gated(const Expected& gate, const Expected& up) {
    const double silu = gate.value / (1 + std::exp(-gate.value));
    const double value = silu * up.value;
    // |silu'| <= 1.1; then the f32 roundings of silu and the product, and bf16's.
    return {value, 1.1 * gate.bound * (std::abs(up.value) + up.bound) + std::abs(silu) * up.bound +
                       std::abs(value) * (0x1p-8 + 16 * 0x1p-24) + 0x1p-126};
}

inline bool is_within(const Expected& expected, double value) {
    return std::abs(value - expected.value) <= expected.bound;
}

}  // namespace baltoro::gpu_check
