#include "experts/copied_experts.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "base/check.h"

namespace baltoro::experts {
namespace {

using kernels::kScaleBlock;
using kernels::Weight;
using kernels::WeightFormat;

constexpr std::size_t kCacheLine = 64;
constexpr std::size_t kHugePage = std::size_t{2} << 20;
// Matrices that a worker asks the kernel to read while it copies earlier ones. Its shares of this
// many keep a disk busy, and are little beside a layer.
constexpr std::size_t kReadAhead = 6;

std::size_t padded(std::size_t n_bytes) {
    return (n_bytes + kCacheLine - 1) / kCacheLine * kCacheLine;
}

int n_blocks(int n) {
    return (n + kScaleBlock - 1) / kScaleBlock;
}

std::size_t element_bytes(const Weight& w) {
    return w.format == WeightFormat::bf16 ? sizeof(bf16_t) : sizeof(e4m3_t);
}

std::size_t data_bytes(const Weight& w) {
    return static_cast<std::size_t>(w.n) * static_cast<std::size_t>(w.k) * element_bytes(w);
}

std::size_t scale_bytes(const Weight& w) {
    if (w.format == WeightFormat::bf16) return 0;
    return static_cast<std::size_t>(n_blocks(w.n)) * static_cast<std::size_t>(n_blocks(w.k)) *
           sizeof(float);
}

// A slice of one source matrix and the place of its copy in a node's arena.
struct MatrixCopy {
    Weight src{};
    int src_block_columns = 0;  // row length of the source's scales
    std::size_t data_at = 0;
    std::size_t scale_at = 0;
};

// What one node gets, in the order of the source: three matrices per expert, none (src.data null)
// for an expert that lives elsewhere.
struct NodeCopy {
    std::vector<MatrixCopy> matrices;
    std::size_t size_bytes = 0;
    int first_worker = 0;
    int n_workers = 0;

    void add(const Weight& slice, const Weight& whole);
};

void NodeCopy::add(const Weight& slice, const Weight& whole) {
    MatrixCopy copy{slice, n_blocks(whole.k), size_bytes, 0};
    copy.scale_at = copy.data_at + padded(data_bytes(slice));
    size_bytes = copy.scale_at + padded(scale_bytes(slice));
    matrices.push_back(copy);
}

NodeCopy plan_node(const ExpertStore& source, const Placement& placement, int node) {
    NodeCopy copy;
    for (int layer = 0; layer < source.n_moe_layers(); ++layer) {
        for (int e = 0; e < source.n_experts(); ++e) {
            const std::size_t at =
                static_cast<std::size_t>(layer) * static_cast<std::size_t>(source.n_experts()) +
                static_cast<std::size_t>(e);
            const ExpertWeights& whole = source.expert(layer, e);
            ExpertWeights slice = slice_of(whole, placement.slices[node]);
            if (!placement.lives_elsewhere.empty() && placement.lives_elsewhere[at]) {
                for (Weight* w : {&slice.gate, &slice.up, &slice.down})
                    *w = Weight{nullptr, nullptr, w->n, w->k, w->k, w->format};
                copy.matrices.insert(copy.matrices.end(), {{slice.gate}, {slice.up}, {slice.down}});
                continue;
            }
            copy.add(slice.gate, whole.gate);
            copy.add(slice.up, whole.up);
            copy.add(slice.down, whole.down);
        }
    }
    return copy;
}

// The matrix as it lies in the arena.
Weight copied_weight(const MatrixCopy& copy, const std::byte* arena) {
    Weight w = copy.src;
    if (w.data == nullptr) return w;
    w.data = arena + copy.data_at;
    w.stride = w.k;
    if (w.scale != nullptr) w.scale = reinterpret_cast<const float*>(arena + copy.scale_at);
    return w;
}

// Rows [rows.begin, rows.end) of bytes; whole rows that follow each other are one piece.
void copy_rows(const std::byte* src,
               std::size_t src_stride,
               std::byte* dst,
               std::size_t row_bytes,
               numa::Share rows) {
    const std::size_t n_rows = rows.end - rows.begin;
    if (src_stride == row_bytes) {
        std::memcpy(dst + rows.begin * row_bytes, src + rows.begin * row_bytes, n_rows * row_bytes);
        return;
    }
    for (int r = rows.begin; r < rows.end; ++r)
        std::memcpy(dst + r * row_bytes, src + r * src_stride, row_bytes);
}

// The share of one matrix that falls to worker `idx` of `n_workers`.
void copy_share(const MatrixCopy& copy, std::byte* arena, int idx, int n_workers) {
    const Weight& w = copy.src;
    if (w.data == nullptr || w.k == 0) return;
    copy_rows(static_cast<const std::byte*>(w.data), w.stride * element_bytes(w),
              arena + copy.data_at, w.k * element_bytes(w), numa::share_of(w.n, 1, idx, n_workers));
    if (w.scale == nullptr || idx != 0) return;
    copy_rows(reinterpret_cast<const std::byte*>(w.scale), copy.src_block_columns * sizeof(float),
              arena + copy.scale_at, n_blocks(w.k) * sizeof(float), {0, n_blocks(w.n)});
}

std::vector<NodeCopy> plan_copies(const ExpertStore& source,
                                  const Placement& placement,
                                  const numa::Team& team) {
    std::vector<NodeCopy> copies;
    for (std::size_t j = 0; j < placement.nodes.size(); ++j) {
        copies.push_back(plan_node(source, placement, static_cast<int>(j)));
        NodeCopy& copy = copies.back();
        while (team.place(copy.first_worker).node_idx != placement.nodes[j])
            ++copy.first_worker;
        for (int i = 0; i < team.size(); ++i)
            copy.n_workers += team.place(i).node_idx == placement.nodes[j];
    }
    return copies;
}

// Tells the kernel that a worker's share of a matrix is wanted soon. Only a hint: without it the
// page faults of the copying read in small steps, which a disk answers slowly.
void ask_for_share(const MatrixCopy& copy, int idx, int n_workers) {
    const Weight& w = copy.src;
    const numa::Share rows = numa::share_of(w.n, 1, idx, n_workers);
    if (w.data == nullptr || w.k == 0 || rows.begin == rows.end) return;
    static const auto page = static_cast<std::uintptr_t>(sysconf(_SC_PAGESIZE));
    const std::size_t stride_bytes = w.stride * element_bytes(w);
    const auto data = reinterpret_cast<std::uintptr_t>(w.data);
    const std::uintptr_t begin = (data + rows.begin * stride_bytes) / page * page;
    const std::uintptr_t end = data + (rows.end - 1) * stride_bytes + w.k * element_bytes(w);
    madvise(reinterpret_cast<void*>(begin), end - begin, MADV_WILLNEED);
}

// All shares of one layer that fall to a worker: those of its node.
void copy_layer(const std::vector<NodeCopy>& copies,
                const std::vector<numa::Arena>& arenas,
                std::size_t first_matrix,
                std::size_t n_matrices,
                int worker_idx) {
    for (std::size_t j = 0; j < copies.size(); ++j) {
        const NodeCopy& node = copies[j];
        const int idx = worker_idx - node.first_worker;
        if (idx < 0 || idx >= node.n_workers) continue;
        const std::span<const MatrixCopy> layer(node.matrices.data() + first_matrix, n_matrices);
        for (const MatrixCopy& copy : layer.first(std::min(kReadAhead, n_matrices)))
            ask_for_share(copy, idx, node.n_workers);
        for (std::size_t m = 0; m < n_matrices; ++m) {
            if (m + kReadAhead < n_matrices)
                ask_for_share(layer[m + kReadAhead], idx, node.n_workers);
            copy_share(layer[m], arenas[j].data(), idx, node.n_workers);
        }
    }
}

ExpertStore node_store(const ExpertStore& source, const NodeCopy& copy, const numa::Arena& arena) {
    std::vector<ExpertWeights> experts;
    for (std::size_t m = 0; m < copy.matrices.size(); m += 3) {
        experts.push_back({copied_weight(copy.matrices[m], arena.data()),
                           copied_weight(copy.matrices[m + 1], arena.data()),
                           copied_weight(copy.matrices[m + 2], arena.data())});
    }
    return ExpertStore(source.n_moe_layers(), source.n_experts(), std::move(experts));
}

}  // namespace

std::vector<std::uint64_t> copied_bytes(const ExpertStore& source, const Placement& placement) {
    std::vector<std::uint64_t> bytes;
    for (std::size_t j = 0; j < placement.nodes.size(); ++j)
        bytes.push_back(plan_node(source, placement, static_cast<int>(j)).size_bytes);
    return bytes;
}

CopiedExperts::CopiedExperts(const ExpertStore& source,
                             const Placement& placement,
                             const numa::Topology& topology,
                             numa::Team& team,
                             const CopyProgress& progress) {
    const std::vector<NodeCopy> copies = plan_copies(source, placement, team);
    std::uint64_t total_bytes = 0;
    for (std::size_t j = 0; j < copies.size(); ++j) {
        arenas_.emplace_back(copies[j].size_bytes, topology.nodes[placement.nodes[j]].os_index);
        total_bytes += copies[j].size_bytes;
    }
    const std::size_t n_matrices = 3 * static_cast<std::size_t>(source.n_experts());
    std::uint64_t done_bytes = 0;
    for (int layer = 0; layer < source.n_moe_layers(); ++layer) {
        const std::size_t first = n_matrices * static_cast<std::size_t>(layer);
        team.run(
            [&](int worker_idx) { copy_layer(copies, arenas_, first, n_matrices, worker_idx); });
        for (const NodeCopy& node : copies)
            for (std::size_t m = first; m < first + n_matrices; ++m)
                if (node.matrices[m].src.data != nullptr)
                    done_bytes += padded(data_bytes(node.matrices[m].src)) +
                                  padded(scale_bytes(node.matrices[m].src));
        if (progress) progress(done_bytes, total_bytes);
    }
    for (std::size_t j = 0; j < copies.size(); ++j)
        stores_.push_back(node_store(source, copies[j], arenas_[j]));
}

CopiedMemory CopiedExperts::memory() const {
    CopiedMemory memory;
    std::uint64_t huge_bytes = 0;
    std::uint64_t possible_bytes = 0;  // in whole 2 MB pages
    for (const numa::Arena& arena : arenas_) {
        const std::uint64_t possible = arena.size_bytes() / kHugePage * kHugePage;
        memory.size_bytes += arena.size_bytes();
        possible_bytes += possible;
        huge_bytes += std::min(arena.pages().huge_bytes, possible);
    }
    if (possible_bytes > 0)
        memory.huge_page_share =
            static_cast<double>(huge_bytes) / static_cast<double>(possible_bytes);
    return memory;
}

std::vector<std::string> CopiedExperts::fallbacks() const {
    std::vector<std::string> lines;
    for (const numa::Arena& arena : arenas_)
        for (std::string& line : arena.fallbacks())
            lines.push_back(std::move(line));
    return lines;
}

}  // namespace baltoro::experts
