#include "gpu_kernels/simt/shared_accesses.h"

namespace baltoro::simt {
namespace {

constexpr int kWarpLanes = 32;
constexpr std::size_t kCellBytes = 2;

}  // namespace

void SharedAccesses::begin(std::size_t n_bytes, int n_lanes) {
    cells_.assign((n_bytes + kCellBytes - 1) / kCellBytes, {});
    n_warp_barriers_.assign(static_cast<std::size_t>((n_lanes + kWarpLanes - 1) / kWarpLanes), 0);
    n_barriers_ = 0;
    found_.clear();
}

SharedAccesses::Access SharedAccesses::now(int lane) const noexcept {
    return {lane, n_barriers_, n_warp_barriers_[static_cast<std::size_t>(lane / kWarpLanes)]};
}

bool SharedAccesses::is_ordered(const Access& before, int lane) const noexcept {
    if (before.lane == kNobody || before.lane == lane || before.n_barriers != n_barriers_)
        return true;
    if (before.lane == kSeveral || before.lane / kWarpLanes != lane / kWarpLanes) return false;
    return before.n_warp_barriers != now(lane).n_warp_barriers;
}

void SharedAccesses::report(
    const Access& before, bool was_write, int lane, bool is_write, std::size_t cell) {
    if (!found_.empty()) return;
    found_ =
        "no barrier stands between the " + std::string(was_write ? "write" : "read") + " of byte " +
        std::to_string(cell * kCellBytes) + " of shared memory by " +
        (before.lane == kSeveral ? "several threads" : "thread " + std::to_string(before.lane)) +
        " and its " + (is_write ? "write" : "read") + " by thread " + std::to_string(lane);
}

void SharedAccesses::add(int lane, std::size_t offset, std::size_t n_bytes, bool is_write) {
    if (n_bytes == 0) return;
    const std::size_t last = (offset + n_bytes - 1) / kCellBytes;
    for (std::size_t i = offset / kCellBytes; i <= last; i++) {
        Cell& cell = cells_[i];
        if (!is_ordered(cell.write, lane)) report(cell.write, true, lane, is_write, i);
        if (is_write) {
            if (!is_ordered(cell.read, lane)) report(cell.read, false, lane, true, i);
            cell = {now(lane), {}};
        } else {
            const bool is_shared = !is_ordered(cell.read, lane);
            cell.read = now(lane);
            if (is_shared) cell.read.lane = kSeveral;
        }
    }
}

}  // namespace baltoro::simt
