#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/float_formats.h"
#include "base/random.h"

namespace baltoro::testing {

inline std::vector<float> random_f32(std::size_t n, std::uint64_t seed, double spread = 1.0) {
    Random random(seed);
    std::vector<float> values(n);
    for (float& value : values)
        value = static_cast<float>(spread * random.normal());
    return values;
}

inline std::vector<bf16_t> random_bf16(std::size_t n, std::uint64_t seed, double spread = 1.0) {
    std::vector<bf16_t> values;
    for (const float value : random_f32(n, seed, spread))
        values.push_back(bf16_from_float(value));
    return values;
}

}  // namespace baltoro::testing
