#pragma once

#include <functional>
#include <span>

#include "device/device.h"
#include "device/device_scratch.h"
#include "device/gpu_scratch_sizes.h"
#include "device/gpu_step_tables.h"

namespace baltoro::device {

// Tokens that the row with the most sees.
int longest_context(std::span<const SequenceRows> sequences) noexcept;

// Multi-head latent attention as a sequence of GPU kernels: absorbed and split over the context for
// rows that stand alone, with keys and values of every head for the many rows of a prefill. Engine
// thread only.
class GpuAttention {
  public:
    // Both must outlive the object.
    GpuAttention(GpuPlatform& platform, const std::function<void()>& drain);

    // Takes the memory of the largest step.
    void reserve(const GpuScratchSizes& sizes);

    void begin_step() noexcept { tables_.begin_step(); }
    // Sends ahead what the kernels of these rows read.
    void upload_tables(std::span<const SequenceRows> sequences) { (void)tables_.of(sequences); }
    void write_latent(const WriteLatent& args);
    void attend(const Attend& args, StepKind kind);

  private:
    struct Rows {
        int first;
        int n;
        int n_splits;  // of their contexts
    };

    void attend_decode(const Attend& args, const GpuStepTables::Tables& tables);
    void attend_group(const Attend& args, const GpuStepTables::Tables& tables, const Rows& rows);
    void attend_prefill(const Attend& args,
                        const GpuStepTables::Tables& tables,
                        std::size_t sequence_idx);

    GpuPlatform& platform_;
    GpuStepTables tables_;
    DeviceScratch queries_;  // absorbed, or rotated
    DeviceScratch contexts_;
    DeviceScratch partials_;
    DeviceScratch extrema_;
    DeviceScratch kv_b_;     // bf16
    DeviceScratch latents_;  // of a slab
    DeviceScratch rope_keys_;
    DeviceScratch keys_values_;
    DeviceScratch sums_;  // of the running softmax
};

}  // namespace baltoro::device
