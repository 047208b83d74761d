#include "device/cpu_device.h"

#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstring>

#include <fmt/format.h>

#include "base/check.h"
#include "base/error.h"
#include "device/expert_choice.h"
#include "device/kernel_weight.h"

namespace baltoro::device {
namespace {

// Output columns are shared out in multiples of this: whole cache lines of every dst type, and
// whole tiles of the widest kernels.
constexpr int kColumnUnit = 16;

// Weight rows that one pass over the row batches of a call reads: as many as stay in the cache, or
// all if there is only one batch.
int weight_rows_of_pass(int n_rows) noexcept {
    constexpr int kResidentWeightRows = 64;
    return n_rows <= kernels::kMaxRows ? INT_MAX / 2 : kResidentWeightRows;
}

int panel_count(int n_rows) noexcept {
    return (n_rows + kernels::kPanelRows - 1) / kernels::kPanelRows;
}

}  // namespace

CpuDevice::CpuDevice(numa::Team& team, kernels::IsaLevel level)
    : team_(team),
      level_(level),
      kernels_(kernels::table_for(level)),
      attention_(team, level),
      worker_scratch_(static_cast<std::size_t>(team.size())) {
    reserve_unit_gains(kernels::kMaxRows);
}

void CpuDevice::reserve_unit_gains(int n_rows) {
    if (unit_gains_.size() < static_cast<std::size_t>(n_rows))
        unit_gains_.resize(static_cast<std::size_t>(n_rows), 1.0f);
}

std::string CpuDevice::describe() const {
    return fmt::format("cpu, {}, {} thread{}", kernels::isa_name(level_), team_.size(),
                       team_.size() == 1 ? "" : "s");
}

// Anonymous mappings arrive zero-filled and cost memory only where they are touched, so a KV cache
// sized for the longest context is free until it is used.
Buffer CpuDevice::allocate(std::size_t size_bytes, MemoryKind /*kind*/) {
    if (size_bytes == 0) return {};
    void* data = mmap(nullptr, size_bytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (data == MAP_FAILED)
        throw system_error(fmt::format("cannot reserve {:.2f} GB of memory",
                                       static_cast<double>(size_bytes) / 1e9),
                           errno);
    return {*this, data, size_bytes};
}

void CpuDevice::release(void* data, std::size_t size_bytes) noexcept {
    munmap(data, size_bytes);
}

Matrix CpuDevice::place(const TensorView& weight, const TensorView* scale, WeightUse /*use*/) {
    Matrix matrix = matrix_shape(weight);
    matrix.data = aligned_.of(weight);
    matrix.size_bytes = weight.size_bytes;
    if (scale != nullptr) {
        matrix.scale = static_cast<const float*>(aligned_.of(*scale));
        matrix.size_bytes += scale->size_bytes;
    }
    return matrix;
}

void CpuDevice::copy_to_host(void* host_dst, const void* src, std::size_t size_bytes) {
    std::memcpy(host_dst, src, size_bytes);
}

void CpuDevice::copy_from_host(void* dst, const void* host_src, std::size_t size_bytes) {
    std::memcpy(dst, host_src, size_bytes);
}

void CpuDevice::begin_step(StepKind kind) {
    kind_ = kind;
}

void CpuDevice::embed(const Embed& args) {
    const auto n = static_cast<std::size_t>(args.table.k);
    for (std::size_t r = 0; r < args.ids.size(); r++) {
        const bf16_t* row =
            static_cast<const bf16_t*>(args.table.data) + static_cast<std::size_t>(args.ids[r]) * n;
        kernels_.f32_from_bf16(row, args.dst + r * n, n);
    }
}

void CpuDevice::rms_norm(const Norm& args) {
    const auto normalise = [&](numa::Share rows) {
        const std::ptrdiff_t first = static_cast<std::ptrdiff_t>(rows.begin) * args.n;
        kernels_.rms_norm({args.src + rows.begin * args.src_stride, args.src_stride, args.gain,
                           static_cast<float>(args.eps), rows.end - rows.begin, args.n,
                           args.dst_f32 == nullptr ? nullptr : args.dst_f32 + first,
                           args.dst_bf16 == nullptr ? nullptr : args.dst_bf16 + first});
    };
    // Waking the team costs more than a few rows.
    if (args.n_rows < 4) return normalise({0, args.n_rows});
    team_.run([&](int worker_idx) {
        normalise(numa::share_of(args.n_rows, 1, worker_idx, team_.size()));
    });
}

void CpuDevice::pack_rows(
    const bf16_t* x, int n_rows, int k, bf16_t* panels, int worker_idx) const {
    const numa::Share share = numa::share_of(panel_count(n_rows), 1, worker_idx, team_.size());
    for (int p = share.begin; p < share.end; p++) {
        const int first = p * kernels::kPanelRows;
        kernels_.pack_panel({x + static_cast<std::ptrdiff_t>(first) * k, k, nullptr,
                             std::min(kernels::kPanelRows, n_rows - first), k,
                             panels + static_cast<std::size_t>(p) * kernels::panel_elements(k)});
    }
}

void CpuDevice::row_products(const Product& args, numa::Share columns, int worker_idx) {
    void* scratch = row_scratch(worker_idx, args.w.k);
    const int unit = weight_rows_of_pass(args.n_rows);
    for (int begin = columns.begin; begin < columns.end; begin += unit) {
        const int end = std::min(begin + unit, columns.end);
        for (int r = 0; r < args.n_rows; r += kernels::kMaxRows)
            kernels_.rows_product({kernel_weight(args.w),
                                   {begin, end},
                                   args.x + static_cast<std::ptrdiff_t>(r) * args.w.k,
                                   args.w.k,
                                   std::min(kernels::kMaxRows, args.n_rows - r),
                                   args.dst + static_cast<std::ptrdiff_t>(r) * args.w.n,
                                   args.w.n,
                                   args.accumulate ? unit_gains_.data() : nullptr,
                                   nullptr,
                                   scratch});
    }
}

void* CpuDevice::panel_scratch(int worker_idx, int k, int n_rows) {
    return worker_scratch_[static_cast<std::size_t>(worker_idx)].get<std::byte>(
        kernels_.panel_scratch_bytes(k, n_rows));
}

void* CpuDevice::row_scratch(int worker_idx, int k) {
    return worker_scratch_[static_cast<std::size_t>(worker_idx)].get<std::byte>(
        kernels_.row_scratch_bytes(k));
}

void CpuDevice::product(const Product& args) {
    if (!uses_panels()) {
        team_.run([&](int worker_idx) {
            row_products(args, numa::share_of(args.w.n, kColumnUnit, worker_idx, team_.size()),
                         worker_idx);
        });
        return;
    }
    bf16_t* panels = panels_.get<bf16_t>(static_cast<std::size_t>(panel_count(args.n_rows)) *
                                         kernels::panel_elements(args.w.k));
    reserve_unit_gains(args.n_rows);
    team_.run([&](int worker_idx) {
        pack_rows(args.x, args.n_rows, args.w.k, panels, worker_idx);
        team_.barrier();
        const numa::Share columns = numa::share_of(args.w.n, kColumnUnit, worker_idx, team_.size());
        kernels_.panels_product({kernel_weight(args.w),
                                 {columns.begin, columns.end},
                                 panels,
                                 args.n_rows,
                                 args.dst,
                                 args.w.n,
                                 args.accumulate ? unit_gains_.data() : nullptr,
                                 nullptr,
                                 panel_scratch(worker_idx, args.w.k, args.n_rows)});
    });
}

void CpuDevice::gated_ffn(const GatedFfn& args) {
    if (uses_panels()) {
        gated_ffn_by_panels(args);
    } else {
        gated_ffn_by_rows(args);
    }
}

void CpuDevice::gated_ffn_by_rows(const GatedFfn& args) {
    const int n = args.gate.n;
    const int k = args.gate.k;
    bf16_t* hidden =
        hidden_.get<bf16_t>(static_cast<std::size_t>(args.n_rows) * static_cast<std::size_t>(n));
    team_.run([&](int worker_idx) {
        const numa::Share share = numa::share_of(n, kColumnUnit, worker_idx, team_.size());
        void* scratch = row_scratch(worker_idx, k);
        const int unit = weight_rows_of_pass(args.n_rows);
        for (int begin = share.begin; begin < share.end; begin += unit)
            for (int r = 0; r < args.n_rows; r += kernels::kMaxRows)
                kernels_.rows_gate_up({kernel_weight(args.gate),
                                       kernel_weight(args.up),
                                       {begin, std::min(begin + unit, share.end)},
                                       args.x + static_cast<std::ptrdiff_t>(r) * k,
                                       k,
                                       std::min(kernels::kMaxRows, args.n_rows - r),
                                       hidden + static_cast<std::ptrdiff_t>(r) * n,
                                       n,
                                       scratch});
        team_.barrier();
        row_products({args.down, hidden, args.n_rows, args.dst, true},
                     numa::share_of(args.down.n, kColumnUnit, worker_idx, team_.size()),
                     worker_idx);
    });
}

void CpuDevice::gated_ffn_by_panels(const GatedFfn& args) {
    const int n = args.gate.n;
    const int k = args.gate.k;
    const auto n_panels = static_cast<std::size_t>(panel_count(args.n_rows));
    bf16_t* panels = panels_.get<bf16_t>(n_panels * kernels::panel_elements(k));
    bf16_t* hidden = hidden_.get<bf16_t>(n_panels * kernels::panel_elements(n));
    // The padding of the depth must be zero; the kernel writes everything before it.
    const auto padding =
        static_cast<std::size_t>(kernels::padded_depth(n) - n / 2 * 2) * kernels::kPanelRows;
    for (std::size_t p = 0; p < n_panels; p++)
        std::fill_n(hidden + (p + 1) * kernels::panel_elements(n) - padding, padding, bf16_t{0});
    reserve_unit_gains(args.n_rows);
    team_.run([&](int worker_idx) {
        pack_rows(args.x, args.n_rows, k, panels, worker_idx);
        team_.barrier();
        const numa::Share up = numa::share_of(n, kColumnUnit, worker_idx, team_.size());
        kernels_.panels_gate_up({kernel_weight(args.gate),
                                 kernel_weight(args.up),
                                 {up.begin, up.end},
                                 panels,
                                 args.n_rows,
                                 hidden,
                                 panel_scratch(worker_idx, k, args.n_rows)});
        team_.barrier();
        const numa::Share down = numa::share_of(args.down.n, kColumnUnit, worker_idx, team_.size());
        kernels_.panels_product({kernel_weight(args.down),
                                 {down.begin, down.end},
                                 hidden,
                                 args.n_rows,
                                 args.dst,
                                 args.down.n,
                                 unit_gains_.data(),
                                 nullptr,
                                 panel_scratch(worker_idx, n, args.n_rows)});
    });
}

void CpuDevice::write_latent(const WriteLatent& args) {
    attention_.write_latent(args);
}

void CpuDevice::attend(const Attend& args) {
    attention_.attend(args, kind_);
}

void CpuDevice::route(const Route& args) {
    const auto n_experts = static_cast<std::size_t>(args.w.n);
    const auto n_rows = static_cast<std::size_t>(args.n_rows);
    const auto n_workers = static_cast<std::size_t>(team_.size());
    float* logits = router_.get<float>((n_rows + n_workers) * n_experts);
    float* choices = logits + n_rows * n_experts;
    const ExpertChoice rule{args.top_k, args.n_group, args.topk_group, args.norm_topk_prob,
                            args.scaling_factor};
    const bool is_bf16 = args.w.dtype == DType::bf16;
    team_.run([&](int worker_idx) {
        const numa::Share columns = numa::share_of(args.w.n, kColumnUnit, worker_idx, team_.size());
        kernels_.router_product({is_bf16 ? static_cast<const bf16_t*>(args.w.data) : nullptr,
                                 is_bf16 ? nullptr : static_cast<const float*>(args.w.data),
                                 args.w.n,
                                 args.w.k,
                                 {columns.begin, columns.end},
                                 args.x,
                                 args.n_rows,
                                 logits});
        team_.barrier();
        const numa::Share rows = numa::share_of(args.n_rows, 1, worker_idx, team_.size());
        for (int r = rows.begin; r < rows.end; r++)
            choose_experts(rule, {logits + static_cast<std::size_t>(r) * n_experts, n_experts},
                           args.bias,
                           {choices + static_cast<std::size_t>(worker_idx) * n_experts, n_experts},
                           args.ids + static_cast<std::ptrdiff_t>(r) * args.top_k,
                           args.gains + static_cast<std::ptrdiff_t>(r) * args.top_k);
    });
}

void CpuDevice::add(const float* src, float* dst, std::size_t n) {
    kernels_.add(src, dst, n);
}

}  // namespace baltoro::device
