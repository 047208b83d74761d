#include "tests/experts/random_experts.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

namespace baltoro::testing {

using namespace experts;
using kernels::WeightFormat;

RandomExperts::RandomExperts(std::uint64_t seed,
                             const ExpertShapes& shapes,
                             int n_layers,
                             int n_experts,
                             WeightFormat format)
    : store_(n_layers, n_experts, [&] {
          Random random(seed);
          return all(random, shapes, n_layers * n_experts, format);
      }()) {}

std::vector<ExpertWeights> RandomExperts::all(Random& random,
                                              const ExpertShapes& shapes,
                                              int n_total,
                                              WeightFormat format) {
    const int hidden = shapes.hidden_size;
    const int inter = shapes.moe_intermediate_size;
    std::vector<ExpertWeights> experts;
    for (int i = 0; i < n_total; ++i) {
        experts.push_back({weight(random, inter, hidden, format),
                           weight(random, inter, hidden, format),
                           weight(random, hidden, inter, format)});
    }
    return experts;
}

kernels::Weight RandomExperts::weight(Random& random, int n, int k, WeightFormat format) {
    const std::size_t n_weights = static_cast<std::size_t>(n) * static_cast<std::size_t>(k);
    const float deviation = 1.0f / std::sqrt(static_cast<float>(k));
    if (format == WeightFormat::bf16) {
        std::vector<bf16_t>& data = bf16_.emplace_back(n_weights);
        for (bf16_t& w : data)
            w = bf16_from_float(deviation * static_cast<float>(random.normal()));
        return {data.data(), nullptr, n, k, k, format};
    }
    const auto n_blocks = [](int size) { return (size + 127) / 128; };
    std::vector<e4m3_t>& data = fp8_.emplace_back(n_weights);
    for (e4m3_t& w : data)
        w = e4m3_from_float(100.0f * static_cast<float>(random.normal()));
    std::vector<float>& scales = scales_.emplace_back(n_blocks(n) * n_blocks(k));
    for (float& scale : scales)
        scale = 0.01f * deviation * static_cast<float>(0.5 + random.uniform());
    return {data.data(), scales.data(), n, k, k, format};
}

RandomBatch::RandomBatch(std::uint64_t seed,
                         const ExpertShapes& used_shapes,
                         int n_rows,
                         int n_experts)
    : shapes(used_shapes) {
    Random random(seed);
    x.resize(n_rows * shapes.hidden_size);
    for (bf16_t& value : x)
        value = bf16_from_float(static_cast<float>(random.normal()));
    std::vector<std::int32_t> ids(n_experts);
    std::iota(ids.begin(), ids.end(), 0);
    for (int r = 0; r < n_rows; ++r) {
        for (int i = 0; i < shapes.experts_per_row; ++i) {
            std::swap(ids[i], ids[i + static_cast<int>(random.below(n_experts - i))]);
            expert_ids.push_back(ids[i]);
            gains.push_back(static_cast<float>(0.1 + random.uniform()));
        }
    }
    dst.assign(n_rows * shapes.hidden_size, std::numeric_limits<float>::quiet_NaN());
}

ExpertBatch RandomBatch::rows(int first, int n_rows) {
    return {0,
            n_rows,
            x.data() + first * shapes.hidden_size,
            expert_ids.data() + first * shapes.experts_per_row,
            gains.data() + first * shapes.experts_per_row,
            dst.data() + first * shapes.hidden_size};
}

}  // namespace baltoro::testing
