#include "experts/copy_plan.h"

#include <algorithm>
#include <functional>

namespace baltoro::experts {
namespace {

using kernels::n_scale_blocks;
using kernels::Weight;
using kernels::WeightFormat;

constexpr std::size_t kCacheLine = 64;
// Page cache can consist of pages this large, which only leave it whole.
constexpr std::size_t kHugePage = std::size_t{2} << 20;
constexpr std::size_t kPieceBytes = 16 * kHugePage;

std::size_t padded(std::size_t n_bytes) {
    return (n_bytes + kCacheLine - 1) / kCacheLine * kCacheLine;
}

std::size_t element_bytes(const Weight& w) {
    return w.format == WeightFormat::bf16 ? sizeof(bf16_t) : sizeof(e4m3_t);
}

std::size_t offset_in(const MappedFile& file, const void* address) {
    return static_cast<std::size_t>(static_cast<const std::byte*>(address) - file.bytes().data());
}

// Finds the file in whose mapping an address lies.
class FileFinder {
  public:
    explicit FileFinder(std::span<const SafetensorsFile> files);

    // Null if the address is ordinary memory.
    const MappedFile* file_of(const void* address) const noexcept;

  private:
    std::vector<const MappedFile*> files_;  // by address
};

FileFinder::FileFinder(std::span<const SafetensorsFile> files) {
    for (const SafetensorsFile& file : files)
        if (!file.file().bytes().empty()) files_.push_back(&file.file());
    std::sort(files_.begin(), files_.end(), [](const MappedFile* a, const MappedFile* b) {
        return std::less<>()(a->bytes().data(), b->bytes().data());
    });
}

const MappedFile* FileFinder::file_of(const void* address) const noexcept {
    const auto* at = static_cast<const std::byte*>(address);
    const auto after = std::upper_bound(files_.begin(), files_.end(), at,
                                        [](const std::byte* a, const MappedFile* file) {
                                            return std::less<>()(a, file->bytes().data());
                                        });
    if (after == files_.begin()) return nullptr;
    const MappedFile* file = *(after - 1);
    return offset_in(*file, at) < file->bytes().size() ? file : nullptr;
}

// Adds matrices to a node's copy, each behind the one before.
struct NodePlanner {
    const FileFinder& finder;
    NodeCopy& node;

    void add(const Weight& slice, const Weight& whole) const;
};

void NodePlanner::add(const Weight& slice, const Weight& whole) const {
    MatrixCopy copy{slice, {}, {}};
    const std::size_t element = element_bytes(slice);
    copy.data = {{static_cast<const std::byte*>(slice.data), slice.stride * element,
                  finder.file_of(slice.data)},
                 slice.n,
                 slice.k * element,
                 node.size_bytes};
    if (slice.format != WeightFormat::bf16)
        copy.scales = {{reinterpret_cast<const std::byte*>(slice.scale),
                        n_scale_blocks(whole.k) * sizeof(float), finder.file_of(slice.scale)},
                       n_scale_blocks(slice.n),
                       n_scale_blocks(slice.k) * sizeof(float),
                       node.size_bytes + padded(copy.data.size_bytes())};
    node.size_bytes += copy.arena_bytes();
    node.matrices.push_back(copy);
}

MatrixCopy nothing_of(const Weight& w) {
    return {{nullptr, nullptr, w.n, w.k, w.k, w.format}, {}, {}};
}

// Sorted by place, without overlaps.
std::vector<FileRange> joined(std::vector<FileRange> ranges) {
    std::sort(ranges.begin(), ranges.end(), [](const FileRange& a, const FileRange& b) {
        return a.file != b.file ? std::less<>()(a.file, b.file) : a.begin < b.begin;
    });
    std::vector<FileRange> joined;
    for (const FileRange& range : ranges) {
        if (joined.empty() || joined.back().file != range.file || joined.back().end < range.begin)
            joined.push_back(range);
        else
            joined.back().end = std::max(joined.back().end, range.end);
    }
    return joined;
}

}  // namespace

std::size_t MatrixCopy::arena_bytes() const noexcept {
    return padded(data.size_bytes()) + padded(scales.size_bytes());
}

Weight MatrixCopy::in(const std::byte* arena) const noexcept {
    Weight w = src;
    if (w.data == nullptr) return w;
    w.data = arena + data.at;
    w.stride = w.k;
    if (w.scale != nullptr) w.scale = reinterpret_cast<const float*>(arena + scales.at);
    return w;
}

NodeCopy plan_node(const ExpertStore& source,
                   const Placement& placement,
                   int node,
                   std::span<const SafetensorsFile> files) {
    NodeCopy copy;
    const FileFinder finder(files);
    const NodePlanner planner{finder, copy};
    for (int layer = 0; layer < source.n_moe_layers(); ++layer) {
        for (int e = 0; e < source.n_experts(); ++e) {
            const std::size_t at =
                static_cast<std::size_t>(layer) * static_cast<std::size_t>(source.n_experts()) +
                static_cast<std::size_t>(e);
            const ExpertWeights& whole = source.expert(layer, e);
            const ExpertWeights slice = slice_of(whole, placement.slices[node]);
            if (!placement.lives_elsewhere.empty() && placement.lives_elsewhere[at]) {
                for (const Weight* w : {&slice.gate, &slice.up, &slice.down})
                    copy.matrices.push_back(nothing_of(*w));
                continue;
            }
            planner.add(slice.gate, whole.gate);
            planner.add(slice.up, whole.up);
            planner.add(slice.down, whole.down);
        }
    }
    return copy;
}

void copy_whole(const RowsCopy& rows, const void* place, RowCopier& copier) {
    if (rows.size_bytes() == 0) return;
    const RowTarget target{static_cast<std::byte*>(const_cast<void*>(place)), 0, rows.row_bytes};
    copier.copy(rows.src, {0, rows.n_rows}, {&target, 1});
}

std::vector<FileRange> source_ranges(std::span<const NodeCopy> nodes, numa::Share matrices) {
    std::vector<FileRange> ranges;
    for (const NodeCopy& node : nodes) {
        for (int m = matrices.begin; m < matrices.end; ++m) {
            const RowsCopy& data = node.matrices[m].data;
            if (data.size_bytes() == 0 || data.src.file == nullptr) continue;
            const std::size_t begin = offset_in(*data.src.file, data.src.data);
            const std::size_t end =
                begin + (data.n_rows - 1) * data.src.stride_bytes + data.row_bytes;
            ranges.push_back({data.src.file, begin / kHugePage * kHugePage,
                              (end + kHugePage - 1) / kHugePage * kHugePage});
        }
    }
    std::vector<FileRange> pieces;
    for (const FileRange& range : joined(std::move(ranges)))
        for (std::size_t at = range.begin; at < range.end; at += kPieceBytes)
            pieces.push_back({range.file, at, std::min(at + kPieceBytes, range.end)});
    return pieces;
}

}  // namespace baltoro::experts
