#include "model/activations.h"

#include <vector>

namespace baltoro {
namespace {

struct Row {
    device::Buffer Activations::*buffer;
    std::size_t bytes;
    device::MemoryKind kind;
};

// Bytes of one row of every buffer.
std::vector<Row> rows_of(const ModelConfig& config) {
    const auto size = [](int n, std::size_t element_bytes) {
        return static_cast<std::size_t>(n) * element_bytes;
    };
    constexpr device::MemoryKind kDevice = device::MemoryKind::device;
    constexpr device::MemoryKind kShared = device::MemoryKind::shared;
    const int hidden = config.hidden_size;
    const int heads = config.num_attention_heads;
    const int top_k = config.num_experts_per_tok;
    using A = Activations;
    return {{&A::x, size(hidden, sizeof(float)), kDevice},
            {&A::normed, size(hidden, sizeof(bf16_t)), kDevice},
            {&A::normed_f32, size(hidden, sizeof(float)), kDevice},
            {&A::rope, size(config.qk_rope_head_dim, sizeof(float)), kDevice},
            {&A::q_latent, size(config.q_lora_rank, sizeof(float)), kDevice},
            {&A::q_latent_normed, size(config.q_lora_rank, sizeof(bf16_t)), kDevice},
            {&A::q, size(heads * config.qk_head_dim(), sizeof(float)), kDevice},
            {&A::kv, size(config.latent_dim(), sizeof(float)), kDevice},
            {&A::attended, size(heads * config.v_head_dim, sizeof(bf16_t)), kDevice},
            {&A::experts_in, size(hidden, sizeof(bf16_t)), kShared},
            {&A::expert_ids, size(top_k, sizeof(std::int32_t)), kShared},
            {&A::gains, size(top_k, sizeof(float)), kShared},
            {&A::routed, size(hidden, sizeof(float)), kShared},
            {&A::head_in, size(hidden, sizeof(bf16_t)), kDevice},
            {&A::logits, size(config.vocab_size, sizeof(float)), kShared}};
}

}  // namespace

Activations::Activations(const ModelConfig& config, device::Device& device, int max_rows) {
    for (const Row& row : rows_of(config))
        this->*row.buffer =
            device.allocate(static_cast<std::size_t>(max_rows) * row.bytes, row.kind);
}

std::size_t Activations::device_bytes(const ModelConfig& config, int max_rows) {
    std::size_t bytes = 0;
    for (const Row& row : rows_of(config))
        if (row.kind == device::MemoryKind::device) bytes += row.bytes;
    return bytes * static_cast<std::size_t>(max_rows);
}

}  // namespace baltoro
