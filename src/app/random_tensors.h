#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "base/float_formats.h"
#include "model/tensor_names.h"
#include "weights/safetensors.h"

namespace baltoro {

// Gives the tensors of a model random values that are spread like trained ones: rows that keep the
// size of a normalised input, block scales that vary, a few input channels that stand out. Every
// value depends on the seed, the tensor's name and its place alone, so any slice can be made by any
// thread. The tensors returned refer to this object, which must outlive them. Immutable, any
// thread.
class RandomTensors {
  public:
    explicit RandomTensors(std::uint64_t seed);

    // The tensor itself; block fp8 codes where the checkpoint format has them.
    TensorToWrite weight(const ExpectedTensor& tensor) const;

    // `weight_scale_inv` of a weight that may be fp8.
    TensorToWrite scale(const ExpectedTensor& tensor) const;

  private:
    TensorToWrite codes(const ExpectedTensor& tensor) const;
    TensorToWrite matrix(const ExpectedTensor& tensor) const;
    TensorToWrite vector(const ExpectedTensor& tensor) const;
    std::uint64_t stream_of(std::string_view name) const noexcept;

    std::uint64_t seed_;
    std::vector<float> normal_;               // 65,536 quantiles of the normal distribution
    std::vector<e4m3_t> code_;                // the same times kCodeDeviation
    std::array<e4m3_t, 256> outlier_code_{};  // code -> code of the value times kOutlier
};

}  // namespace baltoro
