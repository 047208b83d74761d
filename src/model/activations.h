#pragma once

#include "device/device.h"
#include "model/config.h"

namespace baltoro {

// Consecutive rows of a step.
struct RowRange {
    int first = 0;
    int n = 0;

    // The first of them in a buffer of rows of `width` elements.
    template <typename T>
    T* of(const device::Buffer& buffer, int width) const noexcept {
        return buffer.as<T>() + static_cast<std::ptrdiff_t>(first) * width;
    }
};

// The buffers of one forward pass, sized once for max_rows tokens. Shapes are [max_rows, ...].
struct Activations {
    Activations(const ModelConfig& config, device::Device& device, int max_rows);

    // Of device memory.
    static std::size_t device_bytes(const ModelConfig& config, int max_rows);

    device::Buffer x;           // f32 [hidden]: the residual stream
    device::Buffer normed;      // bf16 [hidden]
    device::Buffer normed_f32;  // f32 [hidden]: the router's input
    device::Buffer rope;        // f32 [qk_rope_head_dim / 2, 2]: cosines and sines of the positions
    device::Buffer q_latent;    // f32 [q_lora_rank]
    device::Buffer q_latent_normed;  // bf16 [q_lora_rank]
    device::Buffer q;                // f32 [heads, qk_head_dim]
    device::Buffer kv;               // f32 [latent_dim]
    device::Buffer attended;         // bf16 [heads, v_head_dim]
    device::Buffer experts_in;  // bf16 [hidden], shared: what the CPU's experts read where they
                                // cannot reach `normed`
    device::Buffer expert_ids;  // int32 [num_experts_per_tok], shared
    device::Buffer gains;       // f32 [num_experts_per_tok], shared
    device::Buffer routed;      // f32 [hidden], shared: what the CPU's experts write
    device::Buffer head_in;     // bf16 [hidden]: the rows whose logits are wanted
    device::Buffer logits;      // f32 [vocab_size], shared
};

}  // namespace baltoro
