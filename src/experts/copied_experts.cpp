#include "experts/copied_experts.h"

#include <algorithm>
#include <atomic>
#include <exception>

#include "experts/copy_plan.h"
#include "experts/copy_rows.h"

namespace baltoro::experts {
namespace {

constexpr std::size_t kHugePage = std::size_t{2} << 20;
// Less than a shard of any checkpoint whose copying matters, and enough for the barrier at the end
// of a part to cost nothing.
constexpr std::uint64_t kPartBytes = std::uint64_t{2} << 30;
// Matrices that a worker asks the kernel to read while it copies earlier ones. Its shares of this
// many keep a disk busy.
constexpr int kReadAhead = 6;

// A worker of the team and its own things.
struct Copyist {
    int node = 0;     // its node's place in the placement
    int idx = 0;      // its number among the workers of its node
    int n_peers = 0;  // those workers
    std::vector<std::byte> bounce{};
    std::vector<RowTarget> targets{};
    std::exception_ptr failure{};
};

// Copies matrices to the nodes' arenas with a team. One thread.
class Copier {
  public:
    Copier(numa::Team& team,
           const Placement& placement,
           std::span<const NodeCopy> nodes,
           std::span<const numa::Arena> arenas);

    void copy(numa::Share matrices);
    void drop_cached(numa::Share matrices);

  private:
    template <typename F>
    void run(F&& phase);
    void copy_part(RowsCopy MatrixCopy::*part, int matrix, int worker_idx);
    void read_ahead(int matrix, int worker_idx) const;
    std::span<const NodeCopy> nodes_of(int matrix, const Copyist& copyist) const;
    numa::Share rows_of(const RowsCopy& part, int matrix, int worker_idx) const;

    numa::Team& team_;
    std::span<const NodeCopy> nodes_;
    std::span<const numa::Arena> arenas_;
    std::vector<Copyist> copyists_;
    std::atomic<bool> has_failed_{false};
};

// Of gate and up every node takes some rows, which its workers read. Of down every node takes some
// columns: the whole team reads its rows, once for all nodes.
bool is_cut_by_columns(int matrix) {
    return matrix % 3 == 2;
}

Copier::Copier(numa::Team& team,
               const Placement& placement,
               std::span<const NodeCopy> nodes,
               std::span<const numa::Arena> arenas)
    : team_(team), nodes_(nodes), arenas_(arenas), copyists_(team.size()) {
    std::vector<int> n_on_node(placement.nodes.size(), 0);
    for (int i = 0; i < team.size(); ++i) {
        const auto node =
            std::find(placement.nodes.begin(), placement.nodes.end(), team.place(i).node_idx);
        copyists_[i].node = static_cast<int>(node - placement.nodes.begin());
        copyists_[i].idx = n_on_node[copyists_[i].node]++;
    }
    for (Copyist& copyist : copyists_)
        copyist.n_peers = n_on_node[copyist.node];
}

// phase(worker_idx) on every worker; rethrows the first worker's failure.
template <typename F>
void Copier::run(F&& phase) {
    team_.run([&](int worker_idx) {
        try {
            phase(worker_idx);
        } catch (...) {
            copyists_[worker_idx].failure = std::current_exception();
            has_failed_ = true;
        }
    });
    for (const Copyist& copyist : copyists_)
        if (copyist.failure) std::rethrow_exception(copyist.failure);
}

std::span<const NodeCopy> Copier::nodes_of(int matrix, const Copyist& copyist) const {
    return is_cut_by_columns(matrix) ? nodes_ : nodes_.subspan(copyist.node, 1);
}

numa::Share Copier::rows_of(const RowsCopy& part, int matrix, int worker_idx) const {
    const Copyist& copyist = copyists_[worker_idx];
    const bool is_for_all = is_cut_by_columns(matrix);
    return numa::share_of(part.n_rows, 1, is_for_all ? worker_idx : copyist.idx,
                          is_for_all ? team_.size() : copyist.n_peers);
}

// The share of a matrix's data or scales that falls to a worker.
void Copier::copy_part(RowsCopy MatrixCopy::*part, int matrix, int worker_idx) {
    Copyist& copyist = copyists_[worker_idx];
    const std::span<const NodeCopy> nodes = nodes_of(matrix, copyist);
    const RowsCopy& first = nodes[0].matrices[matrix].*part;
    copyist.targets.clear();
    for (const NodeCopy& node : nodes) {
        const RowsCopy& rows = node.matrices[matrix].*part;
        if (rows.size_bytes() == 0) continue;
        std::byte* arena = arenas_[&node - nodes_.data()].data();
        copyist.targets.push_back({arena + rows.at,
                                   static_cast<std::size_t>(rows.src.data - first.src.data),
                                   rows.row_bytes});
    }
    copy_rows(first.src, rows_of(first, matrix, worker_idx), copyist.targets, copyist.bounce);
}

// Tells the kernel that a worker's share of a matrix is wanted soon: a disk answers many requests
// at once faster than one after another.
void Copier::read_ahead(int matrix, int worker_idx) const {
    const RowsCopy& data = nodes_of(matrix, copyists_[worker_idx])[0].matrices[matrix].data;
    const numa::Share rows = rows_of(data, matrix, worker_idx);
    if (data.src.file == nullptr || rows.begin == rows.end) return;
    const std::size_t stride = data.src.stride_bytes;
    const std::byte* begin = data.src.data + rows.begin * stride;
    data.src.file->will_read(static_cast<std::size_t>(begin - data.src.file->bytes().data()),
                             (rows.end - rows.begin) * stride);
}

void Copier::copy(numa::Share matrices) {
    run([&](int worker_idx) {
        const int end = matrices.end;
        for (int m = matrices.begin; m < std::min(matrices.begin + kReadAhead, end); ++m)
            read_ahead(m, worker_idx);
        for (int m = matrices.begin; m < end && !has_failed_; ++m) {
            if (m + kReadAhead < end) read_ahead(m + kReadAhead, worker_idx);
            copy_part(&MatrixCopy::data, m, worker_idx);
            copy_part(&MatrixCopy::scales, m, worker_idx);
        }
    });
}

void Copier::drop_cached(numa::Share matrices) {
    const std::vector<FileRange> ranges = source_ranges(nodes_, matrices);
    run([&](int worker_idx) {
        for (std::size_t i = worker_idx; i < ranges.size(); i += team_.size())
            ranges[i].file->drop_cached(ranges[i].begin, ranges[i].end - ranges[i].begin);
    });
}

std::uint64_t bytes_of(std::span<const NodeCopy> nodes, int matrix) {
    std::uint64_t n_bytes = 0;
    for (const NodeCopy& node : nodes)
        n_bytes += node.matrices[matrix].arena_bytes();
    return n_bytes;
}

ExpertStore node_store(const ExpertStore& source, const NodeCopy& copy, const numa::Arena& arena) {
    std::vector<ExpertWeights> experts;
    for (std::size_t m = 0; m < copy.matrices.size(); m += 3) {
        experts.push_back({copy.matrices[m].in(arena.data()), copy.matrices[m + 1].in(arena.data()),
                           copy.matrices[m + 2].in(arena.data())});
    }
    return ExpertStore(source.n_moe_layers(), source.n_experts(), std::move(experts));
}

}  // namespace

std::vector<std::uint64_t> copied_bytes(const ExpertStore& source, const Placement& placement) {
    std::vector<std::uint64_t> bytes;
    for (std::size_t j = 0; j < placement.nodes.size(); ++j)
        bytes.push_back(plan_node(source, placement, static_cast<int>(j), {}).size_bytes);
    return bytes;
}

CopiedExperts::CopiedExperts(const CopySource& source,
                             const Placement& placement,
                             const numa::Topology& topology,
                             numa::Team& team,
                             const CopyProgress& progress) {
    std::vector<NodeCopy> nodes;
    std::uint64_t total_bytes = 0;
    for (std::size_t j = 0; j < placement.nodes.size(); ++j) {
        nodes.push_back(plan_node(source.experts, placement, static_cast<int>(j), source.files));
        arenas_.emplace_back(nodes[j].size_bytes, topology.nodes[placement.nodes[j]].os_index);
        total_bytes += nodes[j].size_bytes;
    }
    Copier copier(team, placement, nodes, arenas_);
    const int per_layer = 3 * source.experts.n_experts();
    const int n_matrices = per_layer * source.experts.n_moe_layers();
    std::uint64_t done_bytes = 0;
    for (numa::Share part; part.begin < n_matrices; part.begin = part.end) {
        std::uint64_t part_bytes = 0;
        do
            part_bytes += bytes_of(nodes, part.end++);
        while (part.end % per_layer != 0 && part_bytes < kPartBytes);
        copier.copy(part);
        if (!source.keep_cached) copier.drop_cached(part);
        done_bytes += part_bytes;
        if (progress) progress(done_bytes, total_bytes);
    }
    for (std::size_t j = 0; j < nodes.size(); ++j)
        stores_.push_back(node_store(source.experts, nodes[j], arenas_[j]));
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
