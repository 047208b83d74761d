#include "experts/copied_experts.h"

#include <algorithm>
#include <atomic>
#include <exception>

#include "base/check.h"
#include "experts/copy_plan.h"
#include "experts/copy_rows.h"

namespace baltoro::experts {
namespace {

constexpr std::size_t kHugePage = std::size_t{2} << 20;
// Less than a shard of any checkpoint whose copying matters, and enough for the barrier at the end
// of a part to cost nothing.
constexpr std::uint64_t kPartBytes = std::uint64_t{2} << 30;
// Rows of one matrix.
struct Piece {
    int matrix = 0;
    numa::Share rows{};
};

// A worker of the team and its own things.
struct Copyist {
    int node = 0;  // its node's place in the placement
    std::vector<Piece> pieces{};
    std::vector<RowTarget> targets{};
    RowCopier data{};  // apart, so that the kernel sees the data's reads as one sequence
    RowCopier scales{};
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
    bool is_for_all_nodes(int matrix) const;
    std::span<const NodeCopy> nodes_of(int matrix, const Copyist& copyist) const;
    void deal(numa::Share matrices);
    void deal_to(std::span<Copyist* const> copyists, std::span<const int> matrices);
    void copy_part(RowsCopy MatrixCopy::*part, const Piece& piece, Copyist& copyist) const;
    void copy_pieces(Copyist& copyist) const;

    numa::Team& team_;
    std::span<const NodeCopy> nodes_;
    std::span<const numa::Arena> arenas_;
    std::vector<Copyist> copyists_;
    std::atomic<bool> has_failed_{false};
};

Copier::Copier(numa::Team& team,
               const Placement& placement,
               std::span<const NodeCopy> nodes,
               std::span<const numa::Arena> arenas)
    : team_(team), nodes_(nodes), arenas_(arenas), copyists_(team.size()) {
    for (int i = 0; i < team.size(); ++i) {
        const auto node =
            std::find(placement.nodes.begin(), placement.nodes.end(), team.place(i).node_idx);
        copyists_[i].node = static_cast<int>(node - placement.nodes.begin());
    }
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

// Of gate and up every node takes some rows, which its workers read. Of down every node takes some
// columns: the whole team reads its rows, once for all nodes.
bool Copier::is_for_all_nodes(int matrix) const {
    return matrix % 3 == 2 && nodes_.size() > 1;
}

std::span<const NodeCopy> Copier::nodes_of(int matrix, const Copyist& copyist) const {
    return is_for_all_nodes(matrix) ? nodes_ : nodes_.subspan(copyist.node, 1);
}

void Copier::deal(numa::Share matrices) {
    std::vector<Copyist*> all;
    std::vector<std::vector<Copyist*>> by_node(nodes_.size());
    for (Copyist& copyist : copyists_) {
        copyist.pieces.clear();
        all.push_back(&copyist);
        by_node[copyist.node].push_back(&copyist);
    }
    std::vector<int> for_all;
    std::vector<int> for_one;
    for (int m = matrices.begin; m < matrices.end; ++m)
        (is_for_all_nodes(m) ? for_all : for_one).push_back(m);
    for (const std::vector<Copyist*>& copyists : by_node)
        deal_to(copyists, for_one);
    deal_to(all, for_all);
}

// Every copyist gets one run of rows, through several matrices, of about equal bytes. Were each
// matrix shared by all, two would often be the first to write to a 2 MB page at the same time, and
// the kernel then zeroes it twice.
void Copier::deal_to(std::span<Copyist* const> copyists, std::span<const int> matrices) {
    const auto rows_of = [&](int m) -> const RowsCopy& {
        return nodes_of(m, *copyists[0])[0].matrices[m].data;
    };
    const auto n_copyists = static_cast<std::uint64_t>(copyists.size());
    std::uint64_t total_bytes = 0;
    for (const int m : matrices)
        total_bytes += rows_of(m).n_rows * rows_of(m).src.stride_bytes;
    for (std::uint64_t i = 0; i < n_copyists; ++i) {
        std::uint64_t below = 0;  // bytes of the matrices before
        for (const int m : matrices) {
            const RowsCopy& rows = rows_of(m);
            if (rows.n_rows == 0) continue;
            const auto row_at = [&](std::uint64_t byte) {
                const std::uint64_t inside = byte - std::min(byte, below);
                return static_cast<int>(
                    std::min<std::uint64_t>(inside / rows.src.stride_bytes, rows.n_rows));
            };
            const numa::Share share{row_at(total_bytes * i / n_copyists),
                                    row_at(total_bytes * (i + 1) / n_copyists)};
            if (share.begin < share.end) copyists[i]->pieces.push_back({m, share});
            below += rows.n_rows * rows.src.stride_bytes;
        }
    }
}

void Copier::copy_part(RowsCopy MatrixCopy::*part, const Piece& piece, Copyist& copyist) const {
    const std::span<const NodeCopy> nodes = nodes_of(piece.matrix, copyist);
    const RowsCopy& first = nodes[0].matrices[piece.matrix].*part;
    copyist.targets.clear();
    for (const NodeCopy& node : nodes) {
        const RowsCopy& rows = node.matrices[piece.matrix].*part;
        if (rows.size_bytes() == 0) continue;
        std::byte* arena = arenas_[&node - nodes_.data()].data();
        copyist.targets.push_back({arena + rows.at,
                                   static_cast<std::size_t>(rows.src.data - first.src.data),
                                   rows.row_bytes});
    }
    RowCopier& copier = part == &MatrixCopy::data ? copyist.data : copyist.scales;
    copier.copy(first.src, piece.rows, copyist.targets);
}

void Copier::copy_pieces(Copyist& copyist) const {
    for (const Piece& piece : copyist.pieces) {
        if (has_failed_) return;
        copy_part(&MatrixCopy::data, piece, copyist);
        if (piece.rows.begin > 0) continue;
        const MatrixCopy& first = nodes_of(piece.matrix, copyist)[0].matrices[piece.matrix];
        copy_part(&MatrixCopy::scales, {piece.matrix, {0, first.scales.n_rows}}, copyist);
    }
}

void Copier::copy(numa::Share matrices) {
    deal(matrices);
    run([&](int worker_idx) { copy_pieces(copyists_[worker_idx]); });
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
                             const CopyProgress& progress)
    : placement_(placement) {
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

void CopiedExperts::exchange(int moe_layer_idx,
                             int leaving,
                             int coming,
                             const ExpertWeights& source) {
    const ExpertStore one(1, 1, std::vector<ExpertWeights>{source});
    const Placement here{placement_.nodes, placement_.slices, {}};
    RowCopier copier;
    for (std::size_t j = 0; j < stores_.size(); ++j) {
        const NodeCopy node = plan_node(one, here, static_cast<int>(j), {});
        const ExpertWeights& place = stores_[j].expert(moe_layer_idx, leaving);
        const kernels::Weight* places[] = {&place.gate, &place.up, &place.down};
        for (std::size_t m = 0; m < 3; ++m) {
            check(places[m]->data != nullptr, "an expert that leaves was here");
            copy_whole(node.matrices[m].data, places[m]->data, copier);
            copy_whole(node.matrices[m].scales, places[m]->scale, copier);
        }
    }
    for (ExpertStore& store : stores_)
        store.exchange(moe_layer_idx, leaving, coming);
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
