#pragma once

#include <cstdint>
#include <deque>
#include <vector>

#include "base/random.h"
#include "experts/expert_executor.h"
#include "experts/expert_store.h"

namespace baltoro::testing {

// A store of random experts that owns their weights.
class RandomExperts {
  public:
    RandomExperts(std::uint64_t seed,
                  const experts::ExpertShapes& shapes,
                  int n_layers,
                  int n_experts,
                  kernels::WeightFormat format);

    const experts::ExpertStore& store() const { return store_; }

  private:
    kernels::Weight weight(Random& random, int n, int k, kernels::WeightFormat format);
    std::vector<experts::ExpertWeights> all(Random& random,
                                            const experts::ExpertShapes& shapes,
                                            int n_total,
                                            kernels::WeightFormat format);

    std::deque<std::vector<bf16_t>> bf16_;  // a deque: weights keep their addresses
    std::deque<std::vector<e4m3_t>> fp8_;
    std::deque<std::vector<float>> scales_;
    experts::ExpertStore store_;
};

// Random rows, each with distinct random experts, and the answer's place.
struct RandomBatch {
    std::vector<bf16_t> x;
    std::vector<std::int32_t> expert_ids;
    std::vector<float> gains;
    std::vector<float> dst;
    experts::ExpertShapes shapes;

    RandomBatch(std::uint64_t seed, const experts::ExpertShapes& shapes, int n_rows, int n_experts);

    int n_rows() const { return static_cast<int>(dst.size()) / shapes.hidden_size; }
    // Rows [first, first + n_rows) of layer 0.
    experts::ExpertBatch rows(int first, int n_rows);
    experts::ExpertBatch all() { return rows(0, n_rows()); }
};

}  // namespace baltoro::testing
