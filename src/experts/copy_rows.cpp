#include "experts/copy_rows.h"

#include <algorithm>
#include <cstring>

namespace baltoro::experts {
namespace {

constexpr std::size_t kBounceBytes = std::size_t{256} << 10;

// Rows [rows.begin, rows.end), of which the first lies at `block`.
void scatter_rows(const std::byte* block,
                  std::size_t stride_bytes,
                  numa::Share rows,
                  std::span<const RowTarget> targets) {
    for (const RowTarget& target : targets) {
        const std::byte* src = block + target.column;
        for (int r = rows.begin; r < rows.end; ++r, src += stride_bytes)
            std::memcpy(target.dst + r * target.n_bytes, src, target.n_bytes);
    }
}

}  // namespace

void RowCopier::copy_bytes(const SourceRows& src, std::size_t at, std::span<std::byte> dst) {
    if (src.file == nullptr) {
        std::memcpy(dst.data(), src.data + at, dst.size());
        return;
    }
    if (!reader_ || &reader_->file() != src.file) reader_.emplace(*src.file);
    reader_->read(static_cast<std::size_t>(src.data - src.file->bytes().data()) + at, dst);
}

void RowCopier::copy(const SourceRows& src, numa::Share rows, std::span<const RowTarget> targets) {
    if (rows.begin == rows.end || targets.empty()) return;
    const std::size_t stride = src.stride_bytes;
    if (targets.size() == 1 && targets[0].n_bytes == stride) {
        const std::size_t n_bytes = (rows.end - rows.begin) * stride;
        copy_bytes(src, rows.begin * stride, {targets[0].dst + rows.begin * stride, n_bytes});
        return;
    }
    if (src.file == nullptr)
        return scatter_rows(src.data + rows.begin * stride, stride, rows, targets);
    // The last row may end with the file, before its stride does.
    std::size_t used = 0;
    for (const RowTarget& target : targets)
        used = std::max(used, target.column + target.n_bytes);
    const int n_at_once = static_cast<int>(std::max(kBounceBytes / stride, std::size_t{1}));
    if (bounce_.size() < n_at_once * stride) bounce_.resize(n_at_once * stride);
    for (int r = rows.begin; r < rows.end; r += n_at_once) {
        const numa::Share block{r, std::min(r + n_at_once, rows.end)};
        const std::size_t n_bytes = (block.end - block.begin - 1) * stride + used;
        copy_bytes(src, r * stride, {bounce_.data(), n_bytes});
        scatter_rows(bounce_.data(), stride, block, targets);
    }
}

}  // namespace baltoro::experts
