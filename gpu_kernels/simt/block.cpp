#include "gpu_kernels/simt/block.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <new>
#include <utility>

#include "base/float_formats.h"

namespace baltoro::simt {
namespace {

// NaN as f32 and bf16, -1 as an index.
constexpr int kPoison = 0xff;

constexpr std::size_t kSharedAlignment = 128;

constexpr std::uint32_t kWholeWarp = 0xffffffffu;

const char* op_name(const BlockLane& lane) {
    if (lane.state == LaneState::finished) return "has returned";
    if (lane.state == LaneState::at_barrier) return "waits at __syncthreads";
    switch (lane.op) {
        case WarpOp::sync:
            return "waits at __syncwarp";
        case WarpOp::shuffle:
            return "waits at a shuffle";
        case WarpOp::ballot:
            return "waits at a ballot";
        case WarpOp::mma:
            return "waits at mma";
        case WarpOp::ldmatrix:
            return "waits at ldmatrix";
        case WarpOp::none:
            break;
    }
    return "runs";
}

std::string name_of(const Extent& at) {
    return "(" + std::to_string(at.x) + ", " + std::to_string(at.y) + ", " + std::to_string(at.z) +
           ")";
}

std::uint32_t word_of(const std::byte* bytes, int idx) {
    std::uint32_t word = 0;
    std::memcpy(&word, bytes + static_cast<std::size_t>(idx) * sizeof word, sizeof word);
    return word;
}

}  // namespace

Block::Block(const EmulatorOptions& options) : options_(options), random_(options.seed) {}

void Block::lane_main(void* argument) {
    BlockLane& lane = *static_cast<BlockLane*>(argument);
    Block& block = *lane.lane.block;
    try {
        (*block.body_)();
    } catch (...) {
        block.error_ = std::current_exception();
    }
    lane.state = LaneState::finished;
}

void Block::prepare(const Shape& shape, Extent block_idx, std::size_t shared_bytes) {
    const Extent dim = shape.block;
    n_lanes_ = static_cast<int>(dim.x * dim.y * dim.z);
    while (static_cast<int>(lanes_.size()) < n_lanes_) {
        lanes_.push_back(std::make_unique<BlockLane>());
        lanes_.back()->fiber = std::make_unique<Fiber>(&lane_main, lanes_.back().get());
    }
    for (int i = 0; i < n_lanes_; i++) {
        const auto idx = static_cast<std::uint32_t>(i);
        BlockLane& lane = *lanes_[static_cast<std::size_t>(i)];
        const Extent at{idx % dim.x, idx / dim.x % dim.y, idx / (dim.x * dim.y)};
        lane.lane = {at, block_idx, dim, shape.grid, i, this};
        lane.state = LaneState::runnable;
        lane.copies.clear();
        lane.groups.clear();
        lane.n_ungrouped = 0;
    }
    order_.resize(static_cast<std::size_t>(n_lanes_));
    for (int i = 0; i < n_lanes_; i++)
        order_[static_cast<std::size_t>(i)] =
            options_.order == LaneOrder::reversed ? n_lanes_ - 1 - i : i;
    if (options_.pace != WarpPace::in_step)
        drawn_warp_ = static_cast<int>(
            next_random() % static_cast<std::uint64_t>((n_lanes_ + kWarpLanes - 1) / kWarpLanes));

    // Of the exact size, so that address sanitizer sees what lies beyond.
    if (shared_ == nullptr || shared_bytes != shared_bytes_) {
        void* memory = nullptr;
        if (posix_memalign(&memory, kSharedAlignment, shared_bytes) != 0) throw std::bad_alloc();
        shared_.reset(static_cast<std::byte*>(memory));
    }
    shared_bytes_ = shared_bytes;
    if (shared_bytes > 0) std::memset(shared_.get(), kPoison, shared_bytes);
    if (options_.finds_races) accesses_.begin(shared_bytes, n_lanes_);
}

void Block::run(const Shape& shape,
                Extent block_idx,
                std::size_t shared_bytes,
                const std::function<void()>& body) {
    prepare(shape, block_idx, shared_bytes);
    body_ = &body;
    error_ = nullptr;
    while (run_pass()) {
        if (!resolve() && !is_any_runnable()) report_divergence();
    }
    if (options_.finds_races && !accesses_.found().empty())
        throw KernelError("block " + name_of(block_idx) + ": " + accesses_.found());
}

bool Block::is_any_runnable() const noexcept {
    return std::any_of(lanes_.begin(), lanes_.begin() + n_lanes_,
                       [](const auto& lane) { return lane->state == LaneState::runnable; });
}

// Of a pass: whoever is ahead has it while it can run, whoever is behind when nobody else can.
bool Block::drawn_warp_has_turn() const noexcept {
    bool drawn_can_run = false;
    bool others_can_run = false;
    for (int i = 0; i < n_lanes_; i++) {
        if (lanes_[static_cast<std::size_t>(i)]->state != LaneState::runnable) continue;
        (i / kWarpLanes == drawn_warp_ ? drawn_can_run : others_can_run) = true;
    }
    return options_.pace == WarpPace::one_ahead ? drawn_can_run : !others_can_run;
}

bool Block::has_turn(int lane_idx, bool drawn_has_turn) const noexcept {
    return options_.pace == WarpPace::in_step ||
           (lane_idx / kWarpLanes == drawn_warp_) == drawn_has_turn;
}

// True while lanes are left. Throws what a lane has thrown.
bool Block::run_pass() {
    if (options_.order == LaneOrder::shuffled) {
        for (std::size_t i = order_.size(); i > 1; i--)
            std::swap(order_[i - 1], order_[next_random() % i]);
    }
    const bool drawn_has_turn = options_.pace != WarpPace::in_step && drawn_warp_has_turn();
    bool is_left = false;
    for (const int idx : order_) {
        BlockLane& lane = *lanes_[static_cast<std::size_t>(idx)];
        if (lane.state != LaneState::runnable || !has_turn(idx, drawn_has_turn)) continue;
        running_ = &lane;
        current_lane = &lane.lane;
        lane.fiber->resume();
        current_lane = nullptr;
        if (error_) {
            abandon();
            std::rethrow_exception(std::exchange(error_, nullptr));
        }
        is_left = is_left || lane.state != LaneState::finished;
    }
    if (is_left) return true;
    return std::any_of(lanes_.begin(), lanes_.begin() + n_lanes_,
                       [](const auto& lane) { return lane->state != LaneState::finished; });
}

// True if a meeting was complete.
bool Block::resolve() {
    bool has_met = false;
    for (int first = 0; first < n_lanes_; first += kWarpLanes)
        has_met = resolve_warp(first) || has_met;
    const bool all_at_barrier =
        std::all_of(lanes_.begin(), lanes_.begin() + n_lanes_,
                    [](const auto& lane) { return lane->state == LaneState::at_barrier; });
    if (all_at_barrier) {
        for (int i = 0; i < n_lanes_; i++)
            lanes_[static_cast<std::size_t>(i)]->state = LaneState::runnable;
        accesses_.pass_barrier();
    }
    return has_met || all_at_barrier;
}

bool Block::resolve_warp(int first_lane) {
    const int n = std::min(kWarpLanes, n_lanes_ - first_lane);
    bool has_met = false;
    for (int l = 0; l < n; l++) {
        const BlockLane& lane = *lanes_[static_cast<std::size_t>(first_lane + l)];
        if (lane.state != LaneState::at_warp_op || std::countr_zero(lane.mask) != l) continue;
        bool is_complete = true;
        for (int other = l; other < kWarpLanes; other++) {
            if ((lane.mask >> other & 1u) == 0) continue;
            if (other >= n) {
                is_complete = false;
                break;
            }
            const BlockLane& peer = *lanes_[static_cast<std::size_t>(first_lane + other)];
            is_complete = is_complete && peer.state == LaneState::at_warp_op &&
                          peer.op == lane.op && peer.mask == lane.mask;
        }
        if (!is_complete) continue;
        release_warp_op(first_lane, lane.mask);
        has_met = true;
    }
    return has_met;
}

void Block::release_warp_op(int first_lane, std::uint32_t mask) {
    const BlockLane& leader =
        *lanes_[static_cast<std::size_t>(first_lane + std::countr_zero(mask))];
    if (leader.op == WarpOp::sync && mask == kWholeWarp && options_.finds_races)
        accesses_.pass_warp_barrier(first_lane / kWarpLanes);
    if (leader.op == WarpOp::mma) {
        multiply_fragments(first_lane);
    } else {
        for (int l = 0; l < kWarpLanes; l++) {
            if ((mask >> l & 1u) == 0) continue;
            BlockLane& lane = *lanes_[static_cast<std::size_t>(first_lane + l)];
            std::memcpy(lane.shown, lane.given, kExchangeBytes);
        }
    }
    for (int l = 0; l < kWarpLanes; l++)
        if ((mask >> l & 1u) != 0)
            lanes_[static_cast<std::size_t>(first_lane + l)]->state = LaneState::runnable;
}

// Every lane gave a[4] and b[2] of mma.sync.m16n8k16; it is shown its four sums.
void Block::multiply_fragments(int first_lane) {
    float a[16][16];
    float b[8][16];  // by column
    for (int l = 0; l < kWarpLanes; l++) {
        const std::byte* given = lanes_[static_cast<std::size_t>(first_lane + l)]->given;
        const int g = l / 4;
        const int t = l % 4;
        for (int i = 0; i < 4; i++) {
            const std::uint32_t pair = word_of(given, i);
            float* dst = &a[g + (i % 2) * 8][2 * t + (i / 2) * 8];
            dst[0] = float_from_bits(pair << 16);
            dst[1] = float_from_bits(pair & 0xffff0000u);
        }
        for (int i = 0; i < 2; i++) {
            const std::uint32_t pair = word_of(given, 4 + i);
            float* dst = &b[g][2 * t + i * 8];
            dst[0] = float_from_bits(pair << 16);
            dst[1] = float_from_bits(pair & 0xffff0000u);
        }
    }
    for (int l = 0; l < kWarpLanes; l++) {
        const int g = l / 4;
        const int t = l % 4;
        float sums[4] = {};
        for (int i = 0; i < 4; i++) {
            const float* row = a[g + (i / 2) * 8];
            const float* column = b[2 * t + i % 2];
            for (int k = 0; k < 16; k++)
                sums[i] += row[k] * column[k];
        }
        std::memcpy(lanes_[static_cast<std::size_t>(first_lane + l)]->shown, sums, sizeof sums);
    }
}

void Block::meet_block() {
    BlockLane& lane = *running_;
    lane.state = LaneState::at_barrier;
    lane.fiber->suspend();
}

const void* Block::meet_warp(WarpOp op,
                             std::uint32_t mask,
                             const void* given,
                             std::size_t n_bytes) {
    BlockLane& lane = *running_;
    if ((mask >> (lane.lane.linear_idx % kWarpLanes) & 1u) == 0)
        fail("a lane takes part in a warp operation whose mask leaves it out");
    lane.op = op;
    lane.mask = mask;
    if (n_bytes > 0) std::memcpy(lane.given, given, n_bytes);
    lane.state = LaneState::at_warp_op;
    lane.fiber->suspend();
    return lane.shown;
}

const BlockLane& Block::lane_of_warp(int lane) const noexcept {
    const int first = running_->lane.linear_idx / kWarpLanes * kWarpLanes;
    return *lanes_[static_cast<std::size_t>(first + lane)];
}

void Block::note_access(const void* at, std::size_t n_bytes, bool is_write) {
    if (!options_.finds_races) return;
    const auto offset =
        reinterpret_cast<std::uintptr_t>(at) - reinterpret_cast<std::uintptr_t>(shared_.get());
    if (offset < shared_bytes_) accesses_.add(running_->lane.linear_idx, offset, n_bytes, is_write);
}

void* Block::shared_memory(std::size_t size_bytes) {
    if (size_bytes != shared_bytes_) fail("the kernel's shared object is not the launch's");
    return shared_.get();
}

void Block::report_divergence() {
    const Extent at = lanes_[0]->lane.block_idx;
    std::string text = "divergent block " + name_of(at) + ":";
    std::string last;
    for (int i = 0; i < n_lanes_; i++) {
        const BlockLane& lane = *lanes_[static_cast<std::size_t>(i)];
        const std::string state = op_name(lane);
        if (state == last) continue;
        text += (last.empty() ? " thread " : "; thread ") + std::to_string(i) + " " + state;
        last = state;
    }
    abandon();
    throw KernelError(text);
}

void Block::abandon() {
    for (int i = 0; i < n_lanes_; i++)
        lanes_[static_cast<std::size_t>(i)]->fiber->restart();
}

std::uint64_t Block::next_random() noexcept {
    random_ ^= random_ << 13;
    random_ ^= random_ >> 7;
    random_ ^= random_ << 17;
    return random_;
}

}  // namespace baltoro::simt
