#include "gpu_kernels/simt/emulator.h"

#include <cstring>
#include <thread>

#include "gpu_kernels/simt/block.h"
#include "gpu_kernels/simt/simt_emulated.h"

namespace baltoro::simt {
namespace {

// The limits of a launch on every GPU from sm_80 on; shared memory is smallest on sm_86, 89 and
// 120.
constexpr std::uint32_t kMaxGridX = 0x7fffffff;
constexpr std::uint32_t kMaxGridYZ = 65535;
constexpr std::size_t kMaxSharedBytes = std::size_t{99} << 10;

// What CUDA refuses to launch is refused here too.
void require_possible(const Shape& shape, std::size_t shared_bytes) {
    const std::uint64_t n_lanes = std::uint64_t{shape.block.x} * shape.block.y * shape.block.z;
    if (n_lanes == 0 || n_lanes > static_cast<std::uint64_t>(kMaxBlockLanes))
        throw KernelError("a block of " + std::to_string(n_lanes) +
                          " threads (1 to 1024 are possible)");
    if (std::uint64_t{shape.grid.x} * shape.grid.y * shape.grid.z == 0)
        throw KernelError("a grid without blocks");
    if (shape.grid.x > kMaxGridX || shape.grid.y > kMaxGridYZ || shape.grid.z > kMaxGridYZ)
        throw KernelError("a grid of " + std::to_string(shape.grid.x) + " x " +
                          std::to_string(shape.grid.y) + " x " + std::to_string(shape.grid.z) +
                          " blocks (2147483647 x 65535 x 65535 are possible)");
    if (shared_bytes > kMaxSharedBytes)
        throw KernelError(std::to_string(shared_bytes) +
                          " bytes of shared memory (101376 are possible on every GPU)");
}

}  // namespace

constinit thread_local Lane* current_lane = nullptr;

Emulator::Emulator(const EmulatorOptions& options)
    : options_(options), block_(std::make_unique<Block>(options)) {}

Emulator::~Emulator() = default;

void Emulator::run(const Shape& shape,
                   std::size_t shared_bytes,
                   const std::function<void()>& body) {
    require_possible(shape, shared_bytes);
    for (std::uint32_t z = 0; z < shape.grid.z; z++)
        for (std::uint32_t y = 0; y < shape.grid.y; y++)
            for (std::uint32_t x = 0; x < shape.grid.x; x++)
                block_->run(shape, {x, y, z}, shared_bytes, body);
}

int lane_idx() noexcept {
    return current_lane->linear_idx % kWarpLanes;
}

void meet_block() {
    current_lane->block->meet_block();
}

void meet_warp(WarpOp op, std::uint32_t mask, const void* given, std::size_t n_bytes) {
    current_lane->block->meet_warp(op, mask, given, n_bytes);
}

const void* shown_by(int lane) noexcept {
    return current_lane->block->lane_of_warp(lane).shown;
}

void note_access(const void* at, std::size_t n_bytes, bool is_write) {
    if (current_lane != nullptr) current_lane->block->note_access(at, n_bytes, is_write);
}

void* shared_memory(std::size_t size_bytes) {
    return current_lane->block->shared_memory(size_bytes);
}

void fail(const std::string& what) {
    const Extent& b = current_lane->block_idx;
    throw KernelError(what + ": block (" + std::to_string(b.x) + ", " + std::to_string(b.y) + ", " +
                      std::to_string(b.z) + "), thread " +
                      std::to_string(current_lane->linear_idx));
}

void require_aligned(const void* address, std::size_t alignment, const char* what) {
    if (reinterpret_cast<std::uintptr_t>(address) % alignment != 0)
        fail(std::string(what) + " of a misaligned address");
}

inline namespace emulated_side {

void mma_bf16_16x8x16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
    uint32_t given[6];
    std::memcpy(given, a, sizeof a);
    std::memcpy(given + 4, b, sizeof b);
    meet_warp(WarpOp::mma, 0xffffffffu, given, sizeof given);
    float sums[4];
    std::memcpy(sums, shown_by(lane_idx()), sizeof sums);
    for (int i = 0; i < 4; i++)
        d[i] += sums[i];
}

namespace {

const std::byte* matrix_row(int idx) {
    const void* row = nullptr;
    std::memcpy(&row, shown_by(idx), sizeof row);
    return static_cast<const std::byte*>(row);
}

void give_row(const void* row) {
    require_aligned(row, 16, "ldmatrix");
    note_access(row, 16, false);
    meet_warp(WarpOp::ldmatrix, 0xffffffffu, &row, sizeof row);
}

}  // namespace

void ldmatrix_x4(uint32_t (&r)[4], const void* row) {
    give_row(row);
    const int g = lane_idx() / 4;
    const int t = lane_idx() % 4;
    for (int m = 0; m < 4; m++)
        std::memcpy(&r[m], matrix_row(m * 8 + g) + t * 4, sizeof r[m]);
}

void ldmatrix_x4_transposed(uint32_t (&r)[4], const void* row) {
    give_row(row);
    const int g = lane_idx() / 4;
    const int t = lane_idx() % 4;
    for (int m = 0; m < 4; m++) {
        bf16_t pair[2];
        std::memcpy(&pair[0], matrix_row(m * 8 + 2 * t) + g * 2, sizeof pair[0]);
        std::memcpy(&pair[1], matrix_row(m * 8 + 2 * t + 1) + g * 2, sizeof pair[1]);
        std::memcpy(&r[m], pair, sizeof r[m]);
    }
}

void async_copy16(void* shared_dst, const void* src, bool is_valid) {
    require_aligned(shared_dst, 16, "async_copy16");
    if (is_valid) require_aligned(src, 16, "async_copy16");
    note_access(shared_dst, 16, true);  // from here on, at the latest at the wait
    std::memset(shared_dst, 0xff, 16);
    BlockLane& lane = current_lane->block->running();
    lane.copies.push_back({shared_dst, src, is_valid});
    lane.n_ungrouped++;
}

void async_commit() {
    BlockLane& lane = current_lane->block->running();
    lane.groups.push_back(lane.n_ungrouped);
    lane.n_ungrouped = 0;
}

void async_wait_groups(int n_left) {
    BlockLane& lane = current_lane->block->running();
    std::size_t n_copies = 0;
    std::size_t n_groups = 0;
    while (lane.groups.size() - n_groups > static_cast<std::size_t>(n_left))
        n_copies += lane.groups[n_groups++];
    for (std::size_t i = 0; i < n_copies; i++) {
        const AsyncCopy& copy = lane.copies[i];
        note_access(copy.dst, 16, true);
        if (copy.is_valid)
            std::memcpy(copy.dst, copy.src, 16);
        else
            std::memset(copy.dst, 0, 16);
    }
    lane.copies.erase(lane.copies.begin(),
                      lane.copies.begin() + static_cast<std::ptrdiff_t>(n_copies));
    lane.groups.erase(lane.groups.begin(),
                      lane.groups.begin() + static_cast<std::ptrdiff_t>(n_groups));
}

void spin_pause() {
    std::this_thread::yield();
}

}  // namespace emulated_side
}  // namespace baltoro::simt
