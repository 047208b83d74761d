#pragma once

#include <span>

#include "device/device.h"
#include "model/activations.h"
#include "model/config.h"
#include "model/kv_pages.h"
#include "model/weights.h"

namespace baltoro {

// Multi-head latent attention (DeepSeek-V2, arXiv 2405.04434, 2.1): queries and the shared latent
// go through low-rank projections; only the latent and one rotary key per token are cached. Engine
// thread.
class MlaAttention {
  public:
    // Everything must outlive the object.
    MlaAttention(const ModelConfig& config,
                 device::Device& device,
                 Activations& activations,
                 KvPages& kv_pages);

    // x += Attention(normed) for `rows` of the activations, which are those of `sequences` (counted
    // from rows.first on); their latents are written to the cache first.
    void add(const AttentionWeights& weights,
             int layer_idx,
             std::span<const device::SequenceRows> sequences,
             RowRange rows);

  private:
    void project_queries(const AttentionWeights& weights, RowRange rows);

    const ModelConfig& config_;
    device::Device& device_;
    Activations& activations_;
    KvPages& kv_pages_;
    device::MlaShapes shapes_;
    float scale_;
};

}  // namespace baltoro
