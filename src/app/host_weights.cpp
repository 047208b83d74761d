#include "app/host_weights.h"

#include <charconv>

#include "model/checkpoint_check.h"
#include "model/kv_pages.h"
#include "model/tensor_names.h"

namespace baltoro {
namespace {

// The number of a routed expert. Precondition: the tensor is one's, of a complete checkpoint.
int expert_of(std::string_view name) {
    constexpr std::string_view kExperts = ".mlp.experts.";
    name.remove_prefix(name.find(kExperts) + kExperts.size());
    int expert_idx = 0;
    std::from_chars(name.data(), name.data() + name.size(), expert_idx);
    return expert_idx;
}

}  // namespace

bool stays_with_host(const ModelConfig& config, std::string_view name, const HostWeights& host) {
    if (!is_used(config, name)) return false;
    if (is_routed_expert(name)) return expert_of(name) >= host.gpu_experts;
    // Rows of the embedding table are looked up here, also where it is the GPU's head as well.
    return !host.has_gpu || name == kEmbeddingTable;
}

std::uint64_t bytes_beside_experts(const ModelConfig& config,
                                   const Checkpoint& checkpoint,
                                   int kv_tokens,
                                   const HostWeights& host) {
    std::uint64_t bytes =
        host.has_gpu ? 0 : KvPages::bytes_per_token(config) * static_cast<std::uint64_t>(kv_tokens);
    for (const auto& [name, tensor] : checkpoint.tensors())
        if (!is_routed_expert(name) && stays_with_host(config, name, host))
            bytes += tensor.size_bytes;
    return bytes;
}

WeightBytes weight_bytes(const ModelConfig& config,
                         const Checkpoint& checkpoint,
                         int kv_tokens,
                         const HostWeights& host) {
    WeightBytes bytes{bytes_beside_experts(config, checkpoint, kv_tokens, host), 0};
    for (const auto& [name, tensor] : checkpoint.tensors()) {
        if (!stays_with_host(config, name, host))
            bytes.gpu += is_used(config, name) ? tensor.size_bytes : 0;
        else if (is_routed_expert(name))
            bytes.host += tensor.size_bytes;
    }
    return bytes;
}

bool may_stay_cached(const WeightBytes& bytes, std::uint64_t available) noexcept {
    return bytes.host + bytes.gpu <= available - available / 16;
}

std::vector<bool> experts_elsewhere(const ModelConfig& config, const HostWeights& host) {
    if (host.gpu_experts == 0) return {};
    std::vector<bool> elsewhere;
    for (int l = 0; l < config.n_moe_layers(); l++)
        for (int e = 0; e < config.n_routed_experts; e++)
            elsewhere.push_back(e < host.gpu_experts);
    return elsewhere;
}

}  // namespace baltoro
