#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

#include "base/float_formats.h"
#include "base/random.h"

namespace baltoro::gpu_check {

// --seed of the command line.
std::uint64_t& check_seed();

// Normal values; every 97th is 30 times larger.
inline std::vector<float> random_floats(std::size_t n, std::uint64_t stream, float scale = 1.0f) {
    Random random(check_seed() * 1000003 + stream);
    std::vector<float> values(n);
    for (std::size_t i = 0; i < n; i++)
        values[i] = static_cast<float>(random.normal()) * scale * (i % 97 == 13 ? 30.0f : 1.0f);
    return values;
}

inline std::vector<bf16_t> random_bf16(std::size_t n, std::uint64_t stream, float scale = 1.0f) {
    std::vector<bf16_t> values;
    for (const float value : random_floats(n, stream, scale))
        values.push_back(bf16_from_float(value));
    return values;
}

inline double from_bf16(bf16_t value) {
    return static_cast<double>(float_from_bf16(value));
}

}  // namespace baltoro::gpu_check
