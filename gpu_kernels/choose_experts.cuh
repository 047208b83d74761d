#pragma once

#include "gpu_kernels/kernels.h"
#include "gpu_kernels/reduce.cuh"
#include "gpu_kernels/simt/simt.h"

namespace baltoro::gpu {
namespace {

constexpr int kChooseThreads = 128;
constexpr int kMostExperts = 1024;
constexpr int kMostGroups = 64;

struct ChooseExpertsShared {
    float score[kMostExperts];   // sigmoid(logit)
    float choice[kMostExperts];  // what is compared; -infinity: dropped or taken
    float group_score[kMostGroups];
    float best_value[kChooseThreads / 32];
    int best_idx[kChooseThreads / 32];
    int chosen[32];
};

__device__ bool is_better(float value, int idx, float than, int than_idx) {
    return value > than || (value == than && idx < than_idx);
}

// The sum of a group's two best choices (its only one if it has one member), by one warp.
__device__ float group_score(const float* choice, int n) {
    float best = -INFINITY;
    float second = -INFINITY;
    for (int i = static_cast<int>(threadIdx.x % 32); i < n; i += 32) {
        const float value = choice[i];
        second = fmaxf(second, fminf(best, value));
        best = fmaxf(best, value);
    }
    for (int distance = 16; distance > 0; distance /= 2) {
        const float other_best = __shfl_xor_sync(0xffffffffu, best, distance);
        const float other_second = __shfl_xor_sync(0xffffffffu, second, distance);
        second = fmaxf(fmaxf(second, other_second), fminf(best, other_best));
        best = fmaxf(best, other_best);
    }
    return n > 1 ? best + second : best;
}

// Keeps the topk_group groups with the best scores, ties to the lower: a group stays if fewer than
// topk_group others beat it. Contains a barrier; what a thread drops is what it looks at in
// best_of_block().
__device__ void drop_groups(const ChooseExperts& args, ChooseExpertsShared& shared) {
    const int group_size = args.n_experts / args.n_group;
    for (int g = static_cast<int>(threadIdx.x / 32); g < args.n_group; g += kChooseThreads / 32) {
        const float score = group_score(shared.choice + g * group_size, group_size);
        if (threadIdx.x % 32 == 0) shared.group_score[g] = score;
    }
    __syncthreads();
    for (int e = static_cast<int>(threadIdx.x); e < args.n_experts; e += kChooseThreads) {
        const int g = e / group_size;
        if (g >= args.n_group) continue;
        int n_better = 0;
        for (int other = 0; other < args.n_group; other++)
            n_better +=
                is_better(shared.group_score[other], other, shared.group_score[g], g) ? 1 : 0;
        if (n_better >= args.topk_group) shared.choice[e] = -INFINITY;
    }
}

// The index of the block's largest choice, ties to the lower. Contains a barrier; the next call
// needs another before it.
__device__ int best_of_block(int n_experts, ChooseExpertsShared& shared) {
    float best = -INFINITY;
    int best_idx = kMostExperts;
    for (int e = static_cast<int>(threadIdx.x); e < n_experts; e += kChooseThreads) {
        if (is_better(shared.choice[e], e, best, best_idx)) {
            best = shared.choice[e];
            best_idx = e;
        }
    }
    for (int distance = 16; distance > 0; distance /= 2) {
        const float other = __shfl_xor_sync(0xffffffffu, best, distance);
        const int other_idx = __shfl_xor_sync(0xffffffffu, best_idx, distance);
        if (is_better(other, other_idx, best, best_idx)) {
            best = other;
            best_idx = other_idx;
        }
    }
    if (threadIdx.x % 32 == 0) {
        shared.best_value[threadIdx.x / 32] = best;
        shared.best_idx[threadIdx.x / 32] = best_idx;
    }
    __syncthreads();
    for (int w = 0; w < kChooseThreads / 32; w++) {
        if (is_better(shared.best_value[w], shared.best_idx[w], best, best_idx)) {
            best = shared.best_value[w];
            best_idx = shared.best_idx[w];
        }
    }
    return best_idx;
}

// Grid: one block of 128 threads per row. Phases: scores, groups, then top_k times the best of the
// block, which takes 8 rounds of two barriers for K2: less than the handoff that follows.
__global__ void choose_experts(ChooseExperts args) {
    ChooseExpertsShared& shared = simt::shared<ChooseExpertsShared>();
    const int64_t row = blockIdx.x;
    const float* logits = args.logits + row * args.n_experts;
    for (int e = static_cast<int>(threadIdx.x); e < args.n_experts; e += kChooseThreads) {
        const float score = 1.0f / (1.0f + expf(-logits[e]));
        const float choice = score + args.bias[e];
        shared.score[e] = score;
        shared.choice[e] = isnan(choice) ? -3.4028234663852886e38f : choice;
    }
    __syncthreads();
    if (args.n_group > 1) drop_groups(args, shared);
    float sum = 0.0f;
    for (int k = 0; k < args.top_k; k++) {
        const int best = best_of_block(args.n_experts, shared);
        sum += shared.score[best];
        if (threadIdx.x == 0) {
            shared.chosen[k] = best;
            shared.choice[best] = -INFINITY;
        }
        __syncthreads();
    }
    const float factor =
        args.norm_topk_prob ? args.scaling_factor / (sum + 1e-20f) : args.scaling_factor;
    for (int k = static_cast<int>(threadIdx.x); k < args.top_k; k += kChooseThreads) {
        const int expert = shared.chosen[k];
        args.ids[row * args.top_k + k] = expert;
        args.gains[row * args.top_k + k] = shared.score[expert] * factor;
        if (args.device_ids != nullptr) {
            args.device_ids[row * args.top_k + k] = expert;
            args.device_gains[row * args.top_k + k] = shared.score[expert] * factor;
        }
    }
}

void launch_choose_experts(simt::Stream* stream, const ChooseExperts& args) {
    if (args.n_rows == 0) return;
    simt::launch<ChooseExpertsShared>(
        stream, {{static_cast<uint32_t>(args.n_rows)}, {kChooseThreads}}, choose_experts, args);
}

}  // namespace
}  // namespace baltoro::gpu
