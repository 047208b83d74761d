#include "device/gpu_device.h"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <utility>

#include "base/check.h"
#include "base/error.h"
#include "device/gpu_weight.h"

namespace baltoro::device {

GpuDevice::GpuDevice(std::unique_ptr<GpuPlatform> platform, int most_graphs)
    : platform_(std::move(platform)),
      graphs_(most_graphs),
      drain_([this] {
          check(platform_.mode() == RecordingPlatform::Mode::launching,
                "a step like one before needs no more memory");
          finish();
          graphs_.clear();  // they have the addresses of before
      }),
      handoff_(platform_),
      attention_(platform_, drain_),
      rows_(platform_, drain_),
      ids_(platform_, drain_),
      panel_(platform_, drain_),
      gate_(platform_, drain_),
      up_(platform_, drain_),
      hidden_(platform_, drain_),
      chosen_ids_(platform_, drain_),
      chosen_gains_(platform_, drain_),
      resident_hidden_(platform_, drain_),
      logits_(platform_, drain_) {}

GpuDevice::~GpuDevice() {
    abandon_recording();
}

void GpuDevice::reserve(const GpuStepShapes& shapes) {
    const GpuScratchSizes sizes = gpu_scratch_sizes(shapes);
    attention_.reserve(sizes);
    rows_.get<std::byte>(sizes.looked_up_rows);
    ids_.get<std::byte>(sizes.ids);
    panel_.get<std::byte>(sizes.panel);
    gate_.get<std::byte>(sizes.gate);
    up_.get<std::byte>(sizes.up);
    hidden_.get<std::byte>(sizes.hidden);
    logits_.get<std::byte>(sizes.logits);
    chosen_ids_.get<std::byte>(sizes.chosen_ids);
    chosen_gains_.get<std::byte>(sizes.chosen_gains);
    resident_hidden_.get<std::byte>(sizes.resident_hidden);
}

Buffer GpuDevice::allocate(std::size_t size_bytes, MemoryKind kind) {
    if (size_bytes == 0) return {};
    void* data = platform_.allocate(size_bytes, kind);
    if (kind == MemoryKind::shared) shared_.push_back(data);
    return {*this, data, size_bytes};
}

void GpuDevice::release(void* data, std::size_t size_bytes) noexcept {
    abandon_recording();
    handoff_.skip();  // else the GPU may never come to the end of a step that has failed
    const auto shared = std::find(shared_.begin(), shared_.end(), data);
    const bool is_shared = shared != shared_.end();
    if (is_shared) shared_.erase(shared);
    platform_.release(data, size_bytes, is_shared ? MemoryKind::shared : MemoryKind::device);
}

Matrix GpuDevice::place(const TensorView& weight, const TensorView* scale, WeightUse use) {
    Matrix matrix = matrix_shape(weight);
    if (use == WeightUse::lookup) {
        matrix.data = weight.data;
        return matrix;
    }
    const auto upload = [&](const TensorView& tensor) {
        weights_.push_back(allocate(tensor.size_bytes, MemoryKind::device));
        platform_.copy_to_device(weights_.back().as<void>(), tensor.data, tensor.size_bytes);
        matrix.size_bytes += tensor.size_bytes;
        return weights_.back().as<void>();
    };
    matrix.data = upload(weight);
    if (scale != nullptr) matrix.scale = static_cast<const float*>(upload(*scale));
    const bool has_panels = matrix.dtype != DType::f32 && weight.shape.size() == 2;
    if (has_panels && !platform_.is_prepared(matrix.n, matrix.k))
        platform_.prepare(expanded(platform_, matrix, panel_), matrix.n, matrix.k);
    return matrix;
}

void GpuDevice::copy_to_host(void* host_dst, const void* src, std::size_t size_bytes) {
    finish();
    platform_.copy_to_host(host_dst, src, size_bytes);
}

void GpuDevice::copy_from_host(void* dst, const void* host_src, std::size_t size_bytes) {
    platform_.copy_to_device(dst, host_src, size_bytes);
}

void GpuDevice::begin_step(StepKind kind) {
    handoff_.begin_step();
    kind_ = kind;
    attention_.begin_step();
}

// What comes for the first time is launched, and takes its scratch memory if that is not there yet;
// so a recording never has to. Steps of prefill are launched always: their kernels have positions
// as arguments, and few are alike.
void GpuDevice::begin_repeatable(const StepRows& rows) {
    if (kind_ != StepKind::decode) return;
    // Works that a step without logits has left: a recording serves none, and the end of a graph
    // that gives way waits for the stream.
    if (!handoff_.is_idle()) finish();
    attention_.upload_tables(rows.sequences);
    const SequenceRows& last = rows.sequences.back();
    StepGraphs::Entry* entry =
        graphs_.visit({last.first_row + last.n_rows, decode_splits(longest_context(rows.sequences)),
                       rows.logit_rows});
    is_new_ = entry == nullptr;
    if (is_new_) return;
    if (entry->graph != nullptr) {
        platform_.begin_repeat(*entry->graph);
        graph_counts_.repeated++;
        return;
    }
    platform_.begin_capture();
    handoff_.hold();
    recorded_ = entry;
}

void GpuDevice::end_repeatable() {
    is_new_ = false;
    if (platform_.mode() == RecordingPlatform::Mode::repeating) return platform_.end_repeat();
    if (recorded_ == nullptr) return;
    StepGraphs::Entry& entry = *std::exchange(recorded_, nullptr);
    handoff_.let_go();
    try {
        entry.graph = platform_.end_capture();
        graph_counts_.recorded++;
        entry.graph->replay();
    } catch (...) {
        handoff_.forget();  // nothing of the step was queued
        throw;
    }
}

void GpuDevice::give_up_step() noexcept {
    abandon_recording();
    handoff_.give_up_step();
    // A new step may not have taken its memory yet.
    if (std::exchange(is_new_, false)) graphs_.clear();
}

void GpuDevice::abandon_recording() noexcept {
    check(platform_.mode() != RecordingPlatform::Mode::repeating,
          "a step that is repeated comes to its end");
    if (std::exchange(recorded_, nullptr) == nullptr) return;
    try {
        (void)platform_.end_capture();
    } catch (const Error&) {
        // It was not wanted.
    }
    handoff_.let_go();
    handoff_.forget();
}

// 0, 1, 2, … on the device; they travel when a step is larger than all before.
const std::int32_t* GpuDevice::row_numbers(int n) {
    const auto size = static_cast<std::size_t>(n);
    auto* numbers = ids_.get<std::int32_t>(size);
    if (row_ids_.size() < size) {
        row_ids_.resize(size);
        std::iota(row_ids_.begin(), row_ids_.end(), 0);
        platform_.copy_to_device(numbers, row_ids_.data(), size * sizeof(std::int32_t));
    }
    return numbers;
}

// The table lies with the host: its rows are gathered there and travel.
void GpuDevice::embed(const Embed& args) {
    check(args.table.dtype == DType::bf16, "an embedding table is bf16");
    const std::size_t row_bytes = static_cast<std::size_t>(args.table.k) * sizeof(bf16_t);
    looked_up_.resize(args.ids.size() * row_bytes);
    for (std::size_t r = 0; r < args.ids.size(); r++)
        std::memcpy(looked_up_.data() + r * row_bytes,
                    static_cast<const std::byte*>(args.table.data) +
                        static_cast<std::size_t>(args.ids[r]) * row_bytes,
                    row_bytes);
    bf16_t* rows = rows_.get<bf16_t>(looked_up_.size() / sizeof(bf16_t));
    platform_.copy_to_device(rows, looked_up_.data(), looked_up_.size());
    const int n_rows = static_cast<int>(args.ids.size());
    platform_.kernels().embed(platform_.stream(),
                              {{rows, nullptr, n_rows, args.table.k, gpu::WeightFormat::bf16},
                               row_numbers(n_rows),
                               n_rows,
                               args.dst});
}

void GpuDevice::rms_norm(const Norm& args) {
    // The kernel writes its input only where something is added to it.
    platform_.kernels().rms_norm(
        platform_.stream(),
        {const_cast<float*>(args.src), args.src_stride, nullptr, args.gain,
         static_cast<float>(args.eps), args.n_rows, args.n, args.dst_f32, args.dst_bf16});
}

void GpuDevice::product(const Product& args) {
    if (uses_panels()) return panel_product(args);
    platform_.kernels().row_product(platform_.stream(), {gpu_weight(args.w), args.x, nullptr,
                                                         args.n_rows, args.dst, args.accumulate});
}

void GpuDevice::panel_product(const Product& args) {
    platform_.panel_product({expanded(platform_, args.w, panel_), args.x, args.w.n, args.w.k,
                             args.n_rows, args.dst, nullptr, args.accumulate});
}

void GpuDevice::gated_ffn(const GatedFfn& args) {
    if (uses_panels()) return gated_ffn_by_panels(args);
    bf16_t* hidden = hidden_.get<bf16_t>(static_cast<std::size_t>(args.n_rows) *
                                         static_cast<std::size_t>(args.gate.n));
    platform_.kernels().gated_row_product(
        platform_.stream(),
        {gpu_weight(args.gate), gpu_weight(args.up), args.x, args.n_rows, hidden});
    platform_.kernels().row_product(
        platform_.stream(), {gpu_weight(args.down), hidden, nullptr, args.n_rows, args.dst, true});
}

void GpuDevice::gated_ffn_by_panels(const GatedFfn& args) {
    const std::size_t n =
        static_cast<std::size_t>(args.n_rows) * static_cast<std::size_t>(args.gate.n);
    float* gate = gate_.get<float>(n);
    float* up = up_.get<float>(n);
    bf16_t* hidden = hidden_.get<bf16_t>(n);
    panel_product({args.gate, args.x, args.n_rows, gate, false});
    panel_product({args.up, args.x, args.n_rows, up, false});
    platform_.kernels().silu_mul(platform_.stream(),
                                 {gate, up, static_cast<std::int64_t>(n), hidden});
    panel_product({args.down, hidden, args.n_rows, args.dst, true});
}

// The router's product reads f32 activations whatever the number of rows: near ties are decided by
// their last bits.
void GpuDevice::route(const Route& args) {
    float* logits = logits_.get<float>(static_cast<std::size_t>(args.n_rows) *
                                       static_cast<std::size_t>(args.w.n));
    platform_.kernels().row_product(
        platform_.stream(), {gpu_weight(args.w), nullptr, args.x, args.n_rows, logits, false});
    const std::size_t n_choices =
        static_cast<std::size_t>(args.n_rows) * static_cast<std::size_t>(args.top_k);
    auto* chosen_ids = chosen_ids_.get<std::int32_t>(n_choices);
    auto* chosen_gains = chosen_gains_.get<float>(n_choices);
    platform_.kernels().choose_experts(
        platform_.stream(),
        {logits, args.bias, args.n_rows, args.w.n, args.top_k, args.n_group, args.topk_group,
         args.norm_topk_prob, args.scaling_factor, args.ids, args.gains, chosen_ids, chosen_gains});
}

void GpuDevice::add(const float* src, float* dst, std::size_t n) {
    platform_.kernels().add(platform_.stream(), {src, dst, static_cast<std::int64_t>(n)});
}

const void* GpuDevice::publish(const void* src, void* shared_dst, std::size_t size_bytes) {
    platform_.copy_within(shared_dst, src, size_bytes);
    return shared_dst;
}

void GpuDevice::finish() {
    end_repeatable();
    handoff_.serve();
    platform_.wait();
}

}  // namespace baltoro::device
