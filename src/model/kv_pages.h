#pragma once

#include "device/device.h"
#include "model/config.h"

namespace baltoro {

// The latent KV cache: per layer, pages of kPageTokens tokens of kv_lora_rank + qk_rope_head_dim
// bf16 values. A page number means the same tokens in every layer. Owns the memory; on the CPU
// device pages cost memory only once they are written. Engine thread only.
class KvPages {
  public:
    KvPages(const ModelConfig& config, device::Device& device, int n_pages)
        : n_pages_(n_pages),
          layer_elements_(static_cast<std::size_t>(n_pages) * device::kPageTokens *
                          static_cast<std::size_t>(config.latent_dim())),
          buffer_(device.allocate(
              layer_elements_ * sizeof(bf16_t) * static_cast<std::size_t>(config.num_hidden_layers),
              device::MemoryKind::device)) {}

    int n_pages() const noexcept { return n_pages_; }

    // bf16 [n_pages, kPageTokens, latent_dim]
    bf16_t* layer(int layer_idx) const noexcept {
        return buffer_.as<bf16_t>() + static_cast<std::size_t>(layer_idx) * layer_elements_;
    }

    static std::size_t bytes_per_token(const ModelConfig& config) noexcept {
        return static_cast<std::size_t>(config.latent_dim()) * sizeof(bf16_t) *
               static_cast<std::size_t>(config.num_hidden_layers);
    }

  private:
    int n_pages_;
    std::size_t layer_elements_;
    device::Buffer buffer_;
};

}  // namespace baltoro
