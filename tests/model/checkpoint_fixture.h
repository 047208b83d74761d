#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "base/tensor_view.h"
#include "model/config.h"

namespace baltoro::testing {

struct DTypeAndShape {
    DType dtype;
    std::vector<std::int64_t> shape;
};

// The tensors of a complete checkpoint, to be damaged: bf16, or fp8 with scales where the
// configuration says so.
std::map<std::string, DTypeAndShape> complete_tensors(const ModelConfig& config);

// Writes them as model.safetensors.
void write_tensors(const std::string& directory,
                   const std::map<std::string, DTypeAndShape>& tensors);

}  // namespace baltoro::testing
