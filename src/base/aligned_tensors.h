#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include "base/tensor_view.h"

namespace baltoro {

// Bytes of tensors at addresses that are aligned to their element. Checkpoints align tensors in
// practice, so these are the bytes where they lie; the format does not promise it, and then they
// are copied. Owns the copies; moved, never copied. One thread.
class AlignedTensors {
  public:
    // Valid as long as both this object and the tensor's owner.
    const void* of(const TensorView& tensor);

  private:
    std::vector<std::unique_ptr<std::byte[]>> copies_;
};

}  // namespace baltoro
