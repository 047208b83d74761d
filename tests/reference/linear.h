#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "weights/checkpoint.h"

namespace baltoro::reference {

// Activations: one row per token.
class Rows {
  public:
    Rows(std::size_t n_rows, std::size_t width)
        : n_rows_(n_rows), width_(width), values_(n_rows * width) {}

    std::size_t n_rows() const noexcept { return n_rows_; }
    std::size_t width() const noexcept { return width_; }
    std::span<double> operator[](std::size_t row) noexcept {
        return {values_.data() + row * width_, width_};
    }
    std::span<const double> operator[](std::size_t row) const noexcept {
        return {values_.data() + row * width_, width_};
    }

  private:
    std::size_t n_rows_;
    std::size_t width_;
    std::vector<double> values_;
};

// The weights of a checkpoint as double; bf16, f32 or block fp8, whichever the tensor has. Throws
// Error for a tensor that is missing or has another shape or format.
class Weights {
  public:
    explicit Weights(const Checkpoint& checkpoint) : checkpoint_(checkpoint) {}

    std::vector<double> vector(const std::string& name, std::int64_t n) const;
    std::vector<double> row(const std::string& name,
                            std::int64_t n,
                            std::int64_t k,
                            std::int64_t row) const;

    // y[t, i] = sum_j w[i, j] * x[t, j] for w [n, x.width()]. One row of w is converted at a time;
    // output rows are shared among threads.
    Rows times(const std::string& name, std::int64_t n, const Rows& x) const;

  private:
    const Checkpoint& checkpoint_;
};

// work(i) for i in [0, n) on all cores.
void in_parallel(std::size_t n, const std::function<void(std::size_t)>& work);

}  // namespace baltoro::reference
