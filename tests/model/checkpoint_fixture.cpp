#include "tests/model/checkpoint_fixture.h"

#include "model/tensor_names.h"
#include "tests/weights/temporary_checkpoint.h"

namespace baltoro::testing {

std::map<std::string, DTypeAndShape> complete_tensors(const ModelConfig& config) {
    std::map<std::string, DTypeAndShape> tensors;
    for_each_expected_tensor(config, [&](const ExpectedTensor& expected) {
        const bool is_fp8 = config.fp8_blocks && expected.may_be_fp8;
        tensors[expected.name] = {is_fp8 ? DType::f8_e4m3 : DType::bf16, expected.shape};
        if (!is_fp8) return;
        const ExpectedTensor scale = scale_of(expected);
        tensors[scale.name] = {DType::f32, scale.shape};
    });
    return tensors;
}

void write_tensors(const std::string& directory,
                   const std::map<std::string, DTypeAndShape>& tensors) {
    std::vector<TensorToWrite> to_write;
    for (const auto& [name, tensor] : tensors) {
        to_write.push_back(counted_tensor(name, tensor.dtype, tensor.shape));
    }
    write_safetensors(directory + "/model.safetensors", to_write);
}

}  // namespace baltoro::testing
