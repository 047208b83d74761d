#include "base/aligned_tensors.h"

#include <cstdint>
#include <cstring>

namespace baltoro {

const void* AlignedTensors::of(const TensorView& tensor) {
    if (reinterpret_cast<std::uintptr_t>(tensor.data) % dtype_bytes(tensor.dtype) == 0)
        return tensor.data;
    copies_.push_back(std::make_unique<std::byte[]>(tensor.size_bytes));
    std::memcpy(copies_.back().get(), tensor.data, tensor.size_bytes);
    return copies_.back().get();
}

}  // namespace baltoro
