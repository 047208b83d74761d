#pragma once

#include "gpu_kernels/kernels.h"
#include "gpu_kernels/row_product.cuh"
#include "gpu_kernels/simt/simt.h"

namespace baltoro::gpu {
namespace {

enum class ExpertPart { gate, up, down };

// A matrix of the expert in `slot`.
__device__ Weight resident_weight(const ResidentExperts& experts, int slot, ExpertPart part) {
    const int hidden = experts.hidden_size;
    const int inner = experts.moe_intermediate_size;
    const ExpertSlotLayout& layout = experts.layout;
    const char* base = experts.slots + slot * layout.size;
    const bool has_scales = experts.format == WeightFormat::fp8_block;
    if (part == ExpertPart::down)
        return {base + layout.down,
                has_scales ? reinterpret_cast<const float*>(base + layout.down_scale) : nullptr,
                hidden, inner, experts.format};
    const bool is_gate = part == ExpertPart::gate;
    const int64_t scale = is_gate ? layout.gate_scale : layout.up_scale;
    return {base + (is_gate ? layout.gate : layout.up),
            has_scales ? reinterpret_cast<const float*>(base + scale) : nullptr, inner, hidden,
            experts.format};
}

// y and z of a grid for n items, of which y alone may hold too few.
simt::Extent items_grid(uint32_t x, int64_t n) {
    constexpr int64_t kMostY = 32768;
    const int64_t y = n < kMostY ? n : kMostY;
    return {x, static_cast<uint32_t>(y), static_cast<uint32_t>((n + y - 1) / y)};
}

__device__ int64_t grid_item() {
    return static_cast<int64_t>(blockIdx.z) * gridDim.y + blockIdx.y;
}

// Grid: x takes two rows of gate and of up, y and z are a row's choice. Blocks whose expert lives
// elsewhere leave at once. Phases as gated_row_product.
template <WeightFormat kFormat>
__global__ void resident_gate_up(ResidentGateUp args) {
    RowProductShared<1>& shared = simt::shared<RowProductShared<1>>();
    const int64_t choice = grid_item();
    if (choice >= static_cast<int64_t>(args.n_rows) * args.top_k) return;
    const int slot = args.experts.slot_of[args.ids[choice]];
    if (slot < 0) return;
    const Weight gate = resident_weight(args.experts, slot, ExpertPart::gate);
    const Weight up = resident_weight(args.experts, slot, ExpertPart::up);
    const int first = static_cast<int>(blockIdx.x) * 2;
    WeightRow slots[kBlockWeights];
    gated_slots(gate, up, first, kWeightBytes<kFormat>, slots);
    float sums[kBlockWeights];
    dot_rows<kFormat, 1>(slots, args.x + choice / args.top_k * gate.k, gate.k, 1, sums);
    const float gated = block_gated<1>(sums, shared);
    const int i = first + static_cast<int>(threadIdx.x);
    if (threadIdx.x >= 2 || i >= gate.n) return;
    args.dst[choice * gate.n + i] = simt::bf16_from_f32(gated);
}

// Grid: x takes four rows of down, y and z are a row. The choices follow one another, so that their
// order in the sum is fixed.
template <WeightFormat kFormat>
__global__ void resident_down(ResidentDown args) {
    RowProductShared<1>& shared = simt::shared<RowProductShared<1>>();
    const int64_t row = grid_item();
    if (row >= args.n_rows) return;
    const int first = static_cast<int>(blockIdx.x) * kBlockWeights;
    float total = 0.0f;
    bool is_any_here = false;
    for (int c = 0; c < args.top_k; c++) {
        const int64_t choice = row * args.top_k + c;
        const int slot = args.experts.slot_of[args.ids[choice]];
        if (slot < 0) continue;
        is_any_here = true;
        const Weight down = resident_weight(args.experts, slot, ExpertPart::down);
        WeightRow slots[kBlockWeights];
#pragma unroll
        for (int s = 0; s < kBlockWeights; s++)
            slots[s] = weight_row(down, first + s, kWeightBytes<kFormat>);
        float sums[kBlockWeights];
        dot_rows<kFormat, 1>(slots, args.hidden + choice * down.k, down.k, 1, sums);
        total = simt::multiply_add(args.gains[choice], block_dot<1>(sums, shared), total);
        __syncthreads();
    }
    const int i = first + static_cast<int>(threadIdx.x);
    if (!is_any_here || threadIdx.x >= kBlockWeights || i >= args.experts.hidden_size) return;
    args.dst[row * args.experts.hidden_size + i] += total;
}

void launch_resident_gate_up(simt::Stream* stream, const ResidentGateUp& args) {
    if (args.n_rows == 0) return;
    const simt::Shape shape{items_grid(block_count(args.experts.moe_intermediate_size, 2),
                                       static_cast<int64_t>(args.n_rows) * args.top_k),
                            {kRowThreads}};
    if (args.experts.format == WeightFormat::bf16)
        simt::launch<RowProductShared<1>>(stream, shape, resident_gate_up<WeightFormat::bf16>,
                                          args);
    else
        simt::launch<RowProductShared<1>>(stream, shape, resident_gate_up<WeightFormat::fp8_block>,
                                          args);
}

void launch_resident_down(simt::Stream* stream, const ResidentDown& args) {
    if (args.n_rows == 0) return;
    const simt::Shape shape{
        items_grid(block_count(args.experts.hidden_size, kBlockWeights), args.n_rows),
        {kRowThreads}};
    if (args.experts.format == WeightFormat::bf16)
        simt::launch<RowProductShared<1>>(stream, shape, resident_down<WeightFormat::bf16>, args);
    else
        simt::launch<RowProductShared<1>>(stream, shape, resident_down<WeightFormat::fp8_block>,
                                          args);
}

}  // namespace
}  // namespace baltoro::gpu
