#pragma once

#include <vector>

#include "cpu_kernels/isa.h"
#include "device/cpu_scratch.h"
#include "device/device.h"
#include "device/wide_attention.h"
#include "numa/team.h"

namespace baltoro::device {

// Multi-head latent attention on the expert team. The context is cut at fixed positions and partial
// results are merged in order, so a row's result does not depend on the number of workers, nor on
// the rows computed with it. Engine thread only.
class CpuAttention {
  public:
    // `team` must outlive the object.
    CpuAttention(numa::Team& team, kernels::IsaLevel level);

    void write_latent(const WriteLatent& args);
    void attend(const Attend& args, StepKind kind);

  private:
    // kQueries consecutive (row, head) pairs of one sequence: the rows of one kernel call.
    static constexpr int kQueries = kernels::kMaxRows;
    // Pages of one partial result: long enough to amortise the merge, short enough to spread a long
    // context over many cores.
    static constexpr int kSplitPages = 16;

    struct QueryBlock {
        int sequence_idx;
        int first_query;  // index of the first (row, head) pair in the batch
        int n_queries;
        int n_splits;
        int first_partial;  // index of its first partial result
        bool is_wide;       // up to WideAttention::kQueries pairs, in one part
    };
    // Unnormalised softmax sums over a part of the context.
    struct Partial {
        float* context;  // f32 [kQueries, kv_lora_rank]
        float* max;      // f32 [kQueries]
        float* sum;      // f32 [kQueries]
    };
    struct WorkerScratch {
        Scratch partials;
        Scratch scores;
        Scratch rows;
        Scratch kernel;
    };

    void absorb_queries(const Attend& args, int worker_idx);
    void attend_block(const Attend& args, const QueryBlock& block, int worker_idx);
    void attend_split(const Attend& args,
                      const QueryBlock& block,
                      int split,
                      const Partial& dst,
                      WorkerScratch& scratch) const;
    void attend_page(const Attend& args,
                     const QueryBlock& block,
                     int page_idx,
                     const Partial& dst,
                     WorkerScratch& scratch) const;
    void project_values(const Attend& args, int worker_idx);
    // Parts of a context up to `position` that are summed up on their own.
    static int splits_of(int position) noexcept {
        return position / (kPageTokens * kSplitPages) + 1;
    }
    int queries_of_block(const Attend& args) const;
    void list_blocks(const Attend& args, StepKind kind);
    void merge(const Partial& part, const Partial& total, int n_queries, int dim) const;
    void normalise(const Attend& args, const QueryBlock& block, const Partial& total);
    Partial partial_at(float* base, int idx, int dim) const noexcept;
    static std::size_t partial_floats(int dim) noexcept;

    numa::Team& team_;
    const kernels::Table& kernels_;
    bool has_wide_path_;
    std::vector<WorkerScratch> workers_;
    std::vector<WideAttention> wide_;  // per worker
    std::vector<QueryBlock> blocks_;
    int n_partials_ = 0;
    bool split_over_team_ = false;
    Scratch queries_;   // bf16 [n_rows * n_heads, latent_dim]: absorbed and rotated
    Scratch contexts_;  // bf16 [n_rows * n_heads, kv_lora_rank]
    Scratch partials_;  // the partial results of all blocks, where splits are spread over the team
};

}  // namespace baltoro::device
