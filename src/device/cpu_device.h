#pragma once

#include <vector>

#include "base/aligned_tensors.h"
#include "cpu_kernels/isa.h"
#include "device/cpu_attention.h"
#include "device/device.h"
#include "numa/team.h"

namespace baltoro::device {

// The host CPU as a device: every operation runs on the expert team and has finished when the call
// returns; weights stay in the mapped checkpoint. Engine thread only.
class CpuDevice final : public Device {
  public:
    // `team` must outlive the device; `level` must run on this machine.
    CpuDevice(numa::Team& team, kernels::IsaLevel level);

    std::string describe() const override;
    Buffer allocate(std::size_t size_bytes, MemoryKind kind) override;
    Matrix place(const TensorView& weight, const TensorView* scale, WeightUse use) override;
    void copy_to_host(void* host_dst, const void* src, std::size_t size_bytes) override;
    void copy_from_host(void* dst, const void* host_src, std::size_t size_bytes) override;
    void begin_step(StepKind kind) override;
    void embed(const Embed& args) override;
    void rms_norm(const Norm& args) override;
    void product(const Product& args) override;
    void gated_ffn(const GatedFfn& args) override;
    void write_latent(const WriteLatent& args) override;
    void attend(const Attend& args) override;
    void route(const Route& args) override;
    void add(const float* src, float* dst, std::size_t n) override;
    int begin_host_work(const HostWork& work) override {
        work.run(work.context);
        return 0;
    }
    void end_host_work(int /*number*/) override {}
    const void* publish(const void* src, void* /*dst*/, std::size_t /*size_bytes*/) override {
        return src;
    }
    bool overlaps_host() const override { return false; }
    void finish() override {}

  private:
    void release(void* data, std::size_t size_bytes) noexcept override;
    // Whatever the number of rows is, so that a row's bits do not depend on it.
    bool uses_panels() const noexcept {
        return kind_ == StepKind::prefill && kernels_.panel_min_rows < INT32_MAX;
    }
    void pack_rows(const bf16_t* x, int n_rows, int k, bf16_t* panels, int worker_idx) const;
    void row_products(const Product& args, numa::Share columns, int worker_idx);
    void gated_ffn_by_rows(const GatedFfn& args);
    void gated_ffn_by_panels(const GatedFfn& args);
    void reserve_unit_gains(int n_rows);
    void* panel_scratch(int worker_idx, int k, int n_rows);
    void* row_scratch(int worker_idx, int k);

    numa::Team& team_;
    kernels::IsaLevel level_;
    const kernels::Table& kernels_;
    StepKind kind_ = StepKind::prefill;
    CpuAttention attention_;
    std::vector<float> unit_gains_;        // ones: the gains of a product that is added as it is
    Scratch panels_;                       // packed activations, shared by the team
    Scratch hidden_;                       // the gated intermediate of gated_ffn
    Scratch router_;                       // logits and choices
    std::vector<Scratch> worker_scratch_;  // the kernels' own
    AlignedTensors aligned_;
};

}  // namespace baltoro::device
