// Routed experts that live on the GPU: GpuDevice's part.

#include "device/gpu_device.h"
#include "device/gpu_weight.h"

namespace baltoro::device {

std::size_t GpuDevice::expert_slot_bytes(const ExpertShape& shape) const {
    return static_cast<std::size_t>(gpu_slot_layout(shape).size);
}

void GpuDevice::fill_expert_slot(const ExpertShape& shape, std::byte* slot, const HostExpert& src) {
    const gpu::ExpertSlotLayout layout = gpu_slot_layout(shape);
    const bool is_fp8 = shape.dtype == DType::f8_e4m3;
    const std::size_t n = static_cast<std::size_t>(shape.hidden_size) *
                          static_cast<std::size_t>(shape.moe_intermediate_size);
    const auto blocks = [](int size) {
        return static_cast<std::size_t>((size + gpu::kScaleBlock - 1) / gpu::kScaleBlock);
    };
    const std::size_t matrix_bytes = n * (is_fp8 ? 1 : sizeof(bf16_t));
    const std::size_t scale_bytes =
        blocks(shape.hidden_size) * blocks(shape.moe_intermediate_size) * sizeof(float);
    platform_.copy_to_device(slot + layout.gate, src.gate, matrix_bytes);
    platform_.copy_to_device(slot + layout.up, src.up, matrix_bytes);
    platform_.copy_to_device(slot + layout.down, src.down, matrix_bytes);
    if (!is_fp8) return;
    platform_.copy_to_device(slot + layout.gate_scale, src.gate_scale, scale_bytes);
    platform_.copy_to_device(slot + layout.up_scale, src.up_scale, scale_bytes);
    platform_.copy_to_device(slot + layout.down_scale, src.down_scale, scale_bytes);
}

void GpuDevice::add_resident_experts(const ResidentExperts& args) {
    const ExpertShape& shape = args.shape;
    const gpu::ResidentExperts experts{reinterpret_cast<const char*>(args.slots),
                                       gpu_slot_layout(shape),
                                       args.slot_of,
                                       shape.hidden_size,
                                       shape.moe_intermediate_size,
                                       gpu_format(shape.dtype)};
    const std::size_t n_choices =
        static_cast<std::size_t>(args.n_rows) * static_cast<std::size_t>(args.top_k);
    const auto* ids = chosen_ids_.get<std::int32_t>(n_choices);
    const auto* gains = chosen_gains_.get<float>(n_choices);
    bf16_t* hidden = resident_hidden_.get<bf16_t>(
        n_choices * static_cast<std::size_t>(shape.moe_intermediate_size));
    platform_.kernels().resident_gate_up(platform_.stream(),
                                         {experts, args.x, ids, args.n_rows, args.top_k, hidden});
    platform_.kernels().resident_down(
        platform_.stream(), {experts, hidden, ids, gains, args.n_rows, args.top_k, args.dst});
}

}  // namespace baltoro::device
