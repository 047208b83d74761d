#pragma once

#include "gpu_kernels/kernels.h"
#include "gpu_kernels/simt/simt.h"

namespace baltoro::gpu {
namespace {

constexpr int kLargestThreads = 1024;
constexpr int kLargestGroup = 4;  // neighbouring threads whose maximum bounds the answer
constexpr int kLargestLoads = 4;  // loads of four logits in flight per thread
constexpr int kMostCandidates = 2048;

struct LargestShared {
    uint64_t keys[kMostCandidates];
    uint64_t threshold;  // at least k of the row's keys are no smaller
    uint32_t n_keys;     // that were found, also those for which there was no room
};

// Orders logits as the contract does: a larger key is a better logit, and no two are equal.
__device__ uint64_t logit_key(float logit, uint32_t idx) {
    const float value = isnan(logit) ? -INFINITY : logit + 0.0f;  // -0 equals 0
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    bits ^= (bits >> 31) != 0 ? 0xffffffffu : 0x80000000u;
    return static_cast<uint64_t>(bits) << 32 | (0xffffffffu - idx);
}

__device__ uint32_t logit_idx(uint64_t key) {
    return 0xffffffffu - static_cast<uint32_t>(key);
}

// Calls visit(logit, idx) for this thread's part of a row: every 1024th four.
template <typename Visit>
__device__ void visit_logits(const float* row, int n, const Visit& visit) {
    constexpr int kStep = kLargestThreads * 4;
    int first = static_cast<int>(threadIdx.x) * 4;
    if (n % 4 == 0) {  // else the rows are not aligned
        for (; first + (kLargestLoads - 1) * kStep < n; first += kLargestLoads * kStep) {
            simt::F32x4 fours[kLargestLoads];
#pragma unroll
            for (int i = 0; i < kLargestLoads; i++)
                fours[i] = simt::load16<simt::F32x4>(row + first + i * kStep);
#pragma unroll
            for (int i = 0; i < kLargestLoads; i++) {
                visit(fours[i].x, first + i * kStep);
                visit(fours[i].y, first + i * kStep + 1);
                visit(fours[i].z, first + i * kStep + 2);
                visit(fours[i].w, first + i * kStep + 3);
            }
        }
    }
    for (; first < n; first += kStep)
        for (int i = first; i < first + 4 && i < n; i++)
            visit(row[i], i);
}

// A key that at least k keys of the row reach: the k-th of the groups' maxima, without its index.
// 0, which all reach, if fewer than k groups have logits. Contains a barrier; another must come
// before the threshold is read.
__device__ void find_first_threshold(const float* row, int n, int k, LargestShared& shared) {
    constexpr int kGroups = kLargestThreads / kLargestGroup;
    const int group = static_cast<int>(threadIdx.x) / kLargestGroup;
    float best = -INFINITY;
    visit_logits(row, n, [&](float logit, int) { best = fmaxf(best, logit); });
    for (int distance = kLargestGroup / 2; distance > 0; distance /= 2)
        best = fmaxf(best, __shfl_xor_sync(0xffffffffu, best, distance));
    const bool has_logits = group * kLargestGroup * 4 < n;
    if (threadIdx.x % kLargestGroup == 0)
        shared.keys[group] = has_logits ? logit_key(best, static_cast<uint32_t>(group)) : 0;
    if (threadIdx.x == 0) shared.threshold = 0;
    __syncthreads();
    if (threadIdx.x < kGroups) {
        const uint64_t key = shared.keys[threadIdx.x];
        int n_better = 0;
        for (int g = 0; g < kGroups; g++)
            n_better += shared.keys[g] > key ? 1 : 0;
        if (n_better == k - 1 && key != 0) shared.threshold = key & ~uint64_t{0xffffffffu};
    }
}

// Collects the row's keys that reach the threshold, as many as there is room for. Contains two
// barriers, the second at its end.
__device__ void collect_keys(const float* row, int n, LargestShared& shared) {
    if (threadIdx.x == 0) shared.n_keys = 0;
    __syncthreads();
    const uint64_t threshold = shared.threshold;
    visit_logits(row, n, [&](float logit, int idx) {
        const uint64_t key = logit_key(logit, static_cast<uint32_t>(idx));
        if (key < threshold) return;
        const uint32_t place = atomicAdd(&shared.n_keys, 1u);
        if (place < kMostCandidates) shared.keys[place] = key;
    });
    __syncthreads();
}

// Grid: one block of 1024 threads per row; the row is read twice, the second time from the
// second-level cache. Phases: a lower bound of the k-th key from maxima of groups; the keys above
// it (about 1.2 k of them for logits in no order); their ranks. Where too many reach the bound, as
// when all logits are equal, the k-th of those kept is a higher one, and the block collects again:
// the bound rises with every turn, so this ends.
__global__ void __launch_bounds__(kLargestThreads, 1) largest_logits(LargestLogits args) {
    LargestShared& shared = simt::shared<LargestShared>();
    const int64_t row = blockIdx.x;
    const float* logits = args.logits + row * args.n;
    find_first_threshold(logits, args.n, args.k, shared);
    bool is_done = false;
    while (!is_done) {
        collect_keys(logits, args.n, shared);
        is_done = shared.n_keys <= kMostCandidates;
        const int n_keys = is_done ? static_cast<int>(shared.n_keys) : kMostCandidates;
        for (int i = static_cast<int>(threadIdx.x); i < n_keys; i += kLargestThreads) {
            const uint64_t key = shared.keys[i];
            int n_better = 0;
            for (int other = 0; other < n_keys; other++)
                n_better += shared.keys[other] > key ? 1 : 0;
            if (!is_done && n_better == args.k - 1) shared.threshold = key;
            if (!is_done || n_better >= args.k) continue;
            const float logit = logits[logit_idx(key)];
            args.ids[row * args.k + n_better] = static_cast<int32_t>(logit_idx(key));
            args.values[row * args.k + n_better] = isnan(logit) ? -INFINITY : logit;
        }
        __syncthreads();
    }
}

void launch_largest_logits(simt::Stream* stream, const LargestLogits& args) {
    if (args.n_rows == 0 || args.k == 0) return;
    simt::launch<LargestShared>(stream, {{static_cast<uint32_t>(args.n_rows)}, {kLargestThreads}},
                                largest_logits, args);
}

}  // namespace
}  // namespace baltoro::gpu
