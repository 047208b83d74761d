#include "model/resident_experts.h"

namespace baltoro {
namespace {

// Experts that may move at a time: 8 of K2's are 0.35 GB, some 15 ms over the link.
constexpr int kMovesAtATime = 8;

device::ExpertShape shape_of(const ModelConfig& config, const experts::ExpertStore& source) {
    const bool is_fp8 = source.expert(0, 0).gate.format == kernels::WeightFormat::fp8_block;
    return {config.hidden_size, config.moe_intermediate_size,
            is_fp8 ? DType::f8_e4m3 : DType::bf16};
}

}  // namespace

std::size_t ResidentExperts::slot_bytes(const device::Device& device,
                                        const ModelConfig& config,
                                        const experts::ExpertStore& source) {
    return device.expert_slot_bytes(shape_of(config, source));
}

ResidentExperts::ResidentExperts(const ModelConfig& config,
                                 device::Device& device,
                                 RoutedExperts& host,
                                 const experts::ExpertReader& reader,
                                 int slots_per_layer)
    : device_(device),
      host_(host),
      reader_(reader),
      shape_(shape_of(config, host.source())),
      n_experts_(host.source().n_experts()),
      top_k_(config.num_experts_per_tok),
      hot_(host.source().n_moe_layers(), n_experts_, slots_per_layer),
      slot_bytes_(device.expert_slot_bytes(shape_)),
      slots_(device.allocate(static_cast<std::size_t>(host.source().n_moe_layers()) *
                                 static_cast<std::size_t>(hot_.slots_per_layer()) * slot_bytes_,
                             device::MemoryKind::device)),
      slot_of_(device.allocate(static_cast<std::size_t>(host.source().n_moe_layers()) *
                                   static_cast<std::size_t>(n_experts_) * sizeof(std::int32_t),
                               device::MemoryKind::device)) {
    for (int l = 0; l < host.source().n_moe_layers(); l++) {
        for (int s = 0; s < hot_.slots_per_layer(); s++)
            fill(l, s, read(l, hot_.expert_in(l, s), coming_));
        upload_slots(l);
    }
}

std::byte* ResidentExperts::slot_at(int moe_layer_idx, int slot) const noexcept {
    const auto idx =
        static_cast<std::size_t>(moe_layer_idx) * static_cast<std::size_t>(hot_.slots_per_layer()) +
        static_cast<std::size_t>(slot);
    return slots_.as<std::byte>() + idx * slot_bytes_;
}

experts::ExpertWeights ResidentExperts::read(int moe_layer_idx,
                                             int expert_idx,
                                             std::vector<std::byte>& memory) {
    return reader_.read(host_.source().expert(moe_layer_idx, expert_idx), memory);
}

void ResidentExperts::fill(int moe_layer_idx, int slot, const experts::ExpertWeights& expert) {
    device_.fill_expert_slot(shape_, slot_at(moe_layer_idx, slot),
                             {expert.gate.data, expert.up.data, expert.down.data, expert.gate.scale,
                              expert.up.scale, expert.down.scale});
}

void ResidentExperts::upload_slots(int moe_layer_idx) {
    const std::size_t n = static_cast<std::size_t>(n_experts_);
    device_.copy_from_host(
        slot_of_.as<std::int32_t>() + static_cast<std::size_t>(moe_layer_idx) * n,
        slot_of(moe_layer_idx), n * sizeof(std::int32_t));
}

device::ResidentExperts ResidentExperts::on_device(int moe_layer_idx,
                                                   const bf16_t* x,
                                                   int n_rows,
                                                   float* dst) const {
    return {shape_,
            slot_at(moe_layer_idx, 0),
            slot_of_.as<std::int32_t>() + static_cast<std::ptrdiff_t>(moe_layer_idx) * n_experts_,
            x,
            n_rows,
            top_k_,
            dst};
}

void ResidentExperts::move_hot() {
    for (const experts::ExpertMove& move : hot_.plan(kMovesAtATime)) {
        const int layer = move.moe_layer_idx;
        const bool has_place = move.evicted_expert_idx >= 0 && host_.has_copies();
        // Both are read before either's place is written to.
        const experts::ExpertWeights coming = read(layer, move.expert_idx, coming_);
        if (has_place) {
            const experts::ExpertWeights evicted = read(layer, move.evicted_expert_idx, evicted_);
            host_.exchange(layer, move.expert_idx, move.evicted_expert_idx, evicted);
        }
        fill(layer, move.slot, coming);
        hot_.apply(move);
        upload_slots(layer);
    }
}

}  // namespace baltoro
