#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "device/device.h"
#include "experts/expert_reader.h"
#include "experts/expert_store.h"
#include "experts/hot_experts.h"
#include "model/config.h"
#include "model/routed_experts.h"

namespace baltoro {

// Routed experts in the memory of a device that works while the host does: as many slots a layer as
// there is room for, holding the experts that are used most. What has a slot is computed by the
// device and not by the host, whose copy need not stay in memory. Engine thread only.
class ResidentExperts {
  public:
    // `host` and the device must outlive the object. Uploads the first experts, which lie in the
    // files of `reader`; copies of them that the host may have are of no use to it. Throws Error if
    // they cannot be read.
    ResidentExperts(const ModelConfig& config,
                    device::Device& device,
                    RoutedExperts& host,
                    const experts::ExpertReader& reader,
                    int slots_per_layer);

    // The experts of a layer as the device takes them, for rows of x.
    device::ResidentExperts on_device(int moe_layer_idx,
                                      const bf16_t* x,
                                      int n_rows,
                                      float* dst) const;
    // int32 [n_experts]: the slot of each; the host leaves those out. Valid until move_hot().
    const std::int32_t* slot_of(int moe_layer_idx) const noexcept {
        return hot_.slot_of(moe_layer_idx).data();
    }
    void count(int moe_layer_idx, std::span<const std::int32_t> expert_ids) noexcept {
        hot_.count(moe_layer_idx, expert_ids);
    }

    // Between steps: gives slots to experts that have become hot. Answers that run on may change in
    // their last bits, since device and host round differently. Throws Error if an expert cannot be
    // read, which then stays where it is, as do all that would have moved after it.
    void move_hot();

    // Bytes of one slot, for planning.
    static std::size_t slot_bytes(const device::Device& device,
                                  const ModelConfig& config,
                                  const experts::ExpertStore& source);

  private:
    std::byte* slot_at(int moe_layer_idx, int slot) const noexcept;
    experts::ExpertWeights read(int moe_layer_idx, int expert_idx, std::vector<std::byte>& memory);
    void fill(int moe_layer_idx, int slot, const experts::ExpertWeights& expert);
    void upload_slots(int moe_layer_idx);

    device::Device& device_;
    RoutedExperts& host_;
    experts::ExpertReader reader_;
    std::vector<std::byte> coming_;   // an expert on its way to the device
    std::vector<std::byte> evicted_;  // one on its way to the host's copies
    device::ExpertShape shape_;
    int n_experts_;
    int top_k_;
    experts::HotExperts hot_;
    std::size_t slot_bytes_;
    device::Buffer slots_;    // [n_moe_layers, slots_per_layer]
    device::Buffer slot_of_;  // int32 [n_moe_layers, n_experts]
};

}  // namespace baltoro
