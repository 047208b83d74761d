#include "experts/expert_reader.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>

#include "experts/copy_plan.h"
#include "experts/copy_rows.h"
#include "experts/placement.h"

namespace baltoro::experts {
namespace {

// Takes the pages that lie wholly within a matrix out of this process's page tables: the page cache
// keeps what is mapped. The mapping is of a file, so nothing is lost.
void unmap_pages(const RowsCopy& rows) noexcept {
    if (rows.src.file == nullptr || rows.size_bytes() == 0) return;
    const auto page = static_cast<std::uintptr_t>(sysconf(_SC_PAGESIZE));
    const auto begin = reinterpret_cast<std::uintptr_t>(rows.src.data);
    const std::uintptr_t first = (begin + page - 1) / page * page;
    const std::uintptr_t end = (begin + rows.size_bytes()) / page * page;
    if (first < end) madvise(reinterpret_cast<void*>(first), end - first, MADV_DONTNEED);
}

}  // namespace

ExpertWeights ExpertReader::read(const ExpertWeights& expert,
                                 std::vector<std::byte>& memory) const {
    const ExpertStore one(1, 1, std::vector<ExpertWeights>{expert});
    const Placement whole{{0}, {{0, expert.gate.n}}, {}};
    const NodeCopy plan = plan_node(one, whole, 0, files_);
    if (memory.size() < plan.size_bytes) memory.resize(plan.size_bytes);
    RowCopier copier;
    for (const MatrixCopy& matrix : plan.matrices) {
        copy_whole(matrix.data, memory.data() + matrix.data.at, copier);
        copy_whole(matrix.scales, memory.data() + matrix.scales.at, copier);
    }
    if (!keep_cached_) {
        for (const MatrixCopy& matrix : plan.matrices)
            unmap_pages(matrix.data);
        for (const FileRange& range : source_ranges({&plan, 1}, {0, 3}))
            range.file->drop_cached(range.begin, range.end - range.begin);
    }
    return {plan.matrices[0].in(memory.data()), plan.matrices[1].in(memory.data()),
            plan.matrices[2].in(memory.data())};
}

}  // namespace baltoro::experts
