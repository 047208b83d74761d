#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

#include "base/random.h"
#include "gpu_kernels/kernels.h"
#include "tests/gpu_check/random_values.h"

namespace baltoro::gpu_check {

// Shapes of latent attention that the kernels are checked with.
inline constexpr gpu::MlaShapes kK2{64, 512, 128, 64, 128};
inline constexpr gpu::MlaShapes kK2Tiny{4, 96, 48, 32, 40};
inline constexpr gpu::MlaShapes kMoonlightTiny{3, 64, 32, 16, 32};
inline constexpr gpu::MlaShapes kOdd{5, 264, 72, 8, 104};  // every limit but eight's ignored

inline std::size_t count(int a, int b = 1, int c = 1, int d = 1) {
    return static_cast<std::size_t>(a) * static_cast<std::size_t>(b) * static_cast<std::size_t>(c) *
           static_cast<std::size_t>(d);
}

inline int latent_dim(const gpu::MlaShapes& shapes) {
    return shapes.kv_lora_rank + shapes.qk_rope_head_dim;
}

inline int query_dim(const gpu::MlaShapes& shapes) {
    return shapes.qk_nope_head_dim + shapes.qk_rope_head_dim;
}

// Cosines and sines of random angles for n_rows rows.
inline std::vector<float> random_rope(const gpu::MlaShapes& shapes, int n_rows) {
    Random random(check_seed() + 5);
    std::vector<float> rope;
    for (std::size_t i = 0; i < count(n_rows, shapes.qk_rope_head_dim / 2); i++) {
        const double angle = random.uniform() * 6.2;
        rope.push_back(static_cast<float>(std::cos(angle)));
        rope.push_back(static_cast<float>(std::sin(angle)));
    }
    return rope;
}

// Element i of a vector's rotated part, x[0 .. qk_rope_head_dim), with row `rope` of its angles.
struct Rotated {
    double value;
    double magnitude;
};
inline Rotated rotated(const float* x, const float* rope, int i) {
    const int even = i / 2 * 2;
    const double cosine = static_cast<double>(rope[even]);
    const double sine = static_cast<double>(rope[even + 1]);
    const double x0 = static_cast<double>(x[even]);
    const double x1 = static_cast<double>(x[even + 1]);
    return {i == even ? x0 * cosine - x1 * sine : x1 * cosine + x0 * sine,
            std::abs(x0) + std::abs(x1)};
}

// Latents of `n_pages` pages.
inline std::vector<bf16_t> random_pages(const gpu::MlaShapes& shapes,
                                        int n_pages,
                                        std::uint64_t stream) {
    return random_bf16(count(n_pages, gpu::kPageTokens, latent_dim(shapes)), stream);
}

}  // namespace baltoro::gpu_check
