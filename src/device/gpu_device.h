#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "device/device.h"
#include "device/device_scratch.h"
#include "device/gpu_attention.h"
#include "device/gpu_platform.h"
#include "device/handoff.h"
#include "device/recording_platform.h"
#include "device/step_graphs.h"

namespace baltoro::device {

// A GPU, real or emulated: each operation becomes one or a few kernels queued in the platform's
// stream. Weights are copied to the device, except tables whose rows are looked up. Decode steps
// like one before are recorded with the waits for the host in them, and from then on queued as one
// graph. Engine thread only.
class GpuDevice final : public Device {
  public:
    // 8 lengths of the context (powers of two) for one number of rows, or fewer for several.
    static constexpr int kMostGraphs = 16;

    // Keeps the graphs of `most_graphs` kinds of decode steps; with 0 all kernels are launched by
    // themselves.
    explicit GpuDevice(std::unique_ptr<GpuPlatform> platform, int most_graphs = kMostGraphs);
    ~GpuDevice() override;

    // Before the first step: keeps at most so many graphs.
    void limit_graphs(int most_graphs) { graphs_ = StepGraphs(most_graphs); }

    // Takes the scratch memory of the largest step, so that no later step needs to.
    void reserve(const GpuStepShapes& shapes);

    // How many steps were recorded as graphs, and how many were replays of an earlier one.
    struct GraphCounts {
        int recorded = 0;
        int repeated = 0;
    };
    const GraphCounts& graph_counts() const noexcept { return graph_counts_; }

    std::string describe() const override { return platform_.describe(); }
    Buffer allocate(std::size_t size_bytes, MemoryKind kind) override;
    Matrix place(const TensorView& weight, const TensorView* scale, WeightUse use) override;
    void copy_to_host(void* host_dst, const void* src, std::size_t size_bytes) override;
    void copy_from_host(void* dst, const void* host_src, std::size_t size_bytes) override;
    void begin_step(StepKind kind) override;
    void begin_repeatable(const StepRows& rows) override;
    void embed(const Embed& args) override;
    void rms_norm(const Norm& args) override;
    void product(const Product& args) override;
    void gated_ffn(const GatedFfn& args) override;
    void write_latent(const WriteLatent& args) override { attention_.write_latent(args); }
    void attend(const Attend& args) override { attention_.attend(args, kind_); }
    void route(const Route& args) override;
    void add(const float* src, float* dst, std::size_t n) override;
    int begin_host_work(const HostWork& work) override { return handoff_.begin(work); }
    void end_host_work(int number) override { handoff_.end(number); }
    const void* publish(const void* src, void* shared_dst, std::size_t size_bytes) override;
    bool overlaps_host() const override { return true; }
    std::size_t expert_slot_bytes(const ExpertShape& shape) const override;
    void fill_expert_slot(const ExpertShape& shape,
                          std::byte* slot,
                          const HostExpert& src) override;
    void add_resident_experts(const ResidentExperts& args) override;
    void finish() override;
    void give_up_step() noexcept override;

  private:
    void release(void* data, std::size_t size_bytes) noexcept override;
    // On tensor cores, whatever the number of rows is, so that a row's bits do not depend on it.
    bool uses_panels() const noexcept { return kind_ == StepKind::prefill; }
    void panel_product(const Product& args);
    void gated_ffn_by_panels(const GatedFfn& args);
    const std::int32_t* row_numbers(int n);
    void end_repeatable();
    void abandon_recording() noexcept;

    RecordingPlatform platform_;
    StepGraphs graphs_;
    StepGraphs::Entry* recorded_ = nullptr;  // what the recording under way is for
    bool is_new_ = false;                    // the step under way, to graphs_
    GraphCounts graph_counts_;
    std::function<void()> drain_;  // for scratch memory about to grow
    StepKind kind_ = StepKind::prefill;
    Handoff handoff_;
    GpuAttention attention_;
    std::vector<void*> shared_;          // what release() is to give back as shared memory
    std::vector<std::byte> looked_up_;   // rows of a lookup table, on the host
    std::vector<std::int32_t> row_ids_;  // 0, 1, 2, …: what ids_ holds
    std::vector<Buffer> weights_;
    DeviceScratch rows_;  // looked-up rows
    DeviceScratch ids_;
    DeviceScratch panel_;  // a weight as bf16
    DeviceScratch gate_;
    DeviceScratch up_;
    DeviceScratch hidden_;      // the gated intermediate
    DeviceScratch chosen_ids_;  // of the last route()
    DeviceScratch chosen_gains_;
    DeviceScratch resident_hidden_;
    DeviceScratch logits_;  // of the router
};

}  // namespace baltoro::device
