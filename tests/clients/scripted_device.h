#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "device/device.h"
#include "tests/clients/script.h"
#include "text/tokenizer.h"

namespace baltoro::testing {

// A device that computes nothing and says what a script tells it to. The token ids of all rows lie
// in the KV pages and are read back through the page tables, so that an answer comes out right only
// if scheduling, paging and prefix reuse are. Everything above the device is the real thing; of
// what the routed experts compute nothing is used. Engine thread only.
class ScriptedDevice final : public device::Device {
  public:
    // The tokenizer must outlive the device; `vocab_size` is the model's and tells its head apart.
    ScriptedDevice(const Tokenizer& tokenizer, Script script, int vocab_size);

    std::string describe() const override { return "a script"; }
    device::Buffer allocate(std::size_t size_bytes, device::MemoryKind kind) override;
    device::Matrix place(const TensorView& weight,
                         const TensorView* scale,
                         device::WeightUse use) override;
    void copy_to_host(void* host_dst, const void* src, std::size_t size_bytes) override;
    void copy_from_host(void* dst, const void* host_src, std::size_t size_bytes) override;
    void begin_step(StepKind /*kind*/) override {}
    void embed(const device::Embed& args) override;
    void rms_norm(const device::Norm& args) override;
    void product(const device::Product& args) override;
    void gated_ffn(const device::GatedFfn& /*args*/) override {}
    void write_latent(const device::WriteLatent& args) override;
    void attend(const device::Attend& /*args*/) override {}
    void route(const device::Route& args) override;
    void add(const float* /*src*/, float* /*dst*/, std::size_t /*n*/) override {}
    int begin_host_work(const device::HostWork& work) override {
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
    struct StepSequence {
        int first_row;
        int n_rows;
        int first_position;
        std::vector<std::int32_t> page_table;
    };

    void release(void* data, std::size_t size_bytes) noexcept override;
    void take_time_for_prompts() const;
    bf16_t* slot(const StepSequence& sequence, int position) const;
    std::vector<std::int32_t> tokens_up_to(int row) const;
    void write_logits(int row, std::span<float> logits) const;
    std::int32_t next_token(const ScriptRule& rule, std::string_view rest) const;

    const Tokenizer& tokenizer_;
    Script script_;
    int vocab_size_;
    std::int32_t end_of_turn_;
    std::vector<std::int32_t> ids_;        // of the step's rows
    std::vector<StepSequence> sequences_;  // of the step
    bool is_new_step_ = false;             // no layer of it is written
    bf16_t* pages_ = nullptr;              // of the layer written last
    int latent_dim_ = 0;
};

}  // namespace baltoro::testing
