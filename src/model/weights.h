#pragma once

#include <cstddef>
#include <vector>

#include "device/device.h"
#include "experts/expert_store.h"
#include "model/config.h"
#include "weights/checkpoint.h"

namespace baltoro {

// Weights of one layer's attention, on the device. With q_lora_rank 0, q_b is the one q_proj and
// q_a and its norm are empty.
struct AttentionWeights {
    device::Matrix q_a;
    const bf16_t* q_a_norm = nullptr;
    device::Matrix q_b;
    device::Matrix kv_a;
    const bf16_t* kv_a_norm = nullptr;
    device::Matrix kv_b;
    device::Matrix o;
};

// A SwiGLU block: the dense FFN of a layer, or its shared expert.
struct FfnWeights {
    device::Matrix gate;
    device::Matrix up;
    device::Matrix down;
};

struct RouterWeights {
    device::Matrix gate;
    device::Buffer bias;  // f32 [n_routed_experts]
};

struct LayerWeights {
    const bf16_t* input_norm = nullptr;
    AttentionWeights attention;
    const bf16_t* post_attention_norm = nullptr;
    FfnWeights ffn;        // dense FFN, or shared expert of a MoE layer (empty without one)
    RouterWeights router;  // empty in a dense layer
};

// Everything that the device multiplies by; the routed experts are in the ExpertStore.
struct ModelWeights {
    device::Matrix embed;
    std::vector<LayerWeights> layers;
    const bf16_t* final_norm = nullptr;
    device::Matrix head;

    // Bytes of weights that one decoded token reads on the device.
    std::size_t bytes_per_token() const noexcept;
};

// Places a checkpoint's weights on the device. Precondition: require_complete() has accepted it, so
// every tensor is present and well-formed. The checkpoint must outlive the result.
ModelWeights place_weights(const ModelConfig& config,
                           const Checkpoint& checkpoint,
                           device::Device& device);

// The routed experts where they lie in the checkpoint, which must outlive the store. The same
// precondition.
experts::ExpertStore map_experts(const ModelConfig& config, const Checkpoint& checkpoint);

}  // namespace baltoro
